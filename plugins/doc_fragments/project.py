# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that all modules working on a Compose project share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes of a Compose project."""

    DOCUMENTATION = r"""
options:
  project_src:
    description: Directory on the host that holds the Compose file.
    type: path
    required: true
  project_name:
    description: Name of the project; without it the file's C(name) or the directory decides, as in Compose.
    type: str
  files:
    description: Compose files relative to O(project_src); empty for Compose's own search.
    type: list
    elements: path
    default: []
  env_files:
    description: Files with variables for interpolation.
    type: list
    elements: path
    default: []
  profiles:
    description: Profiles to switch on.
    type: list
    elements: str
    default: []
requirements:
  - Docker Engine 25 or newer
  - Docker Compose 2.26 or newer
  - Docker SDK for Python 5.0.3 or newer
"""
