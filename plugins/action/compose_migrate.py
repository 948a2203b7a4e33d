# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run compose_migrate and show what the migration writes."""

from __future__ import annotations

from ansible_collections.shipshape.stack.plugins.plugin_utils._following import FollowedModule


class ActionModule(FollowedModule):
    """The module of the same name, followed."""
