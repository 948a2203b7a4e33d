# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the pip bootstrap file that ansible-test would download.

ansible-test calls it with the arguments of pip's own bootstrap: the version of pip to install, and two flags about what
else to leave out, of which ensurepip knows nothing.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys
from pathlib import Path

# pip trusts the system's certificates by itself from 24.2 on; the one of ensurepip is older.
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

ensurepip.bootstrap()
if BUNDLE.exists():
    os.environ.setdefault("PIP_CERT", str(BUNDLE))
arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=False).returncode)
