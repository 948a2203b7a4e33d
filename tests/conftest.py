# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the checkout importable as the collection, whatever its folder is called."""

from __future__ import annotations

import importlib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LINK = REPOSITORY / ".cache/collections/ansible_collections/shipshape/stack"

if not LINK.exists():
    LINK.unlink(missing_ok=True)
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.symlink_to(REPOSITORY)
    importlib.invalidate_caches()
