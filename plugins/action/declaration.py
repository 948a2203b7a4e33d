# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validate and complete the declaration on the controller; nothing is sent to the host."""

from __future__ import annotations

import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.shipshape.stack.plugins.module_utils import _declaration


class ActionModule(ActionBase):  # type: ignore[misc]
    """Return the model of the stack, or fail with every problem of the declaration at once."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        values = self._task.args["values"]
        found = _declaration.problems(values)
        if not found:
            services = _declaration.services_of(values)
            path = Path(self._task.args["source"]).expanduser().absolute()
            source, lacking = _declaration.inspect_source(str(path), services)
            found += lacking
        if found:
            count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
            lines = "\n".join(f"  - {problem}" for problem in found)
            raise AnsibleActionFail(f"The declaration has {count}; nothing was touched.\n{lines}")
        model = _declaration.model(values, source)
        model["source"]["revision"] = revision(path)
        return {**result, "changed": False, **model}


def revision(path: Path) -> str:
    """Return the commit that is checked out at a path, with ``-dirty`` behind it where there is more; else nothing."""
    git = shutil.which("git")
    if git is None:
        return ""
    # Never a tag: that may be moved.
    argv = [git, "-C", str(path), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
