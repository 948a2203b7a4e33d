# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module without Ansible: `python run_module.py NAMESPACE.COLLECTION.MODULE`, its arguments as JSON on stdin."""

from __future__ import annotations

import json
import runpy
import sys

from ansible.module_utils.testing import patch_module_args

if __name__ == "__main__":
    namespace, collection, module = sys.argv[1].split(".")
    # Read before: stdin belongs to the module then, as it does when Ansible runs it.
    arguments = json.load(sys.stdin)
    with patch_module_args(arguments):
        runpy.run_module(f"ansible_collections.{namespace}.{collection}.plugins.modules.{module}", run_name="__main__")
