# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module without Ansible: `python run_module.py NAMESPACE.COLLECTION.MODULE`, its arguments as JSON on stdin.

Arguments and profile are handed over where AnsiballZ, Ansible's wrapper of modules, puts them.
"""

from __future__ import annotations

import json
import runpy
import sys

from ansible.module_utils import basic

if __name__ == "__main__":
    namespace, collection, module = sys.argv[1].split(".")
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.load(sys.stdin)}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    runpy.run_module(f"ansible_collections.{namespace}.{collection}.plugins.modules.{module}", run_name="__main__")
