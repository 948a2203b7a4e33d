# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules share: options of a Compose project, and one way to end."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _compose
from ansible_collections.shipshape.stack.plugins.module_utils._errors import understood

ENGINE_SOCKET = Path("/var/run/docker.sock")

PROJECT_OPTIONS: dict[str, t.Any] = {
    "project_src": {"type": "path", "required": True},
    "project_name": {"type": "str"},
    "files": {"type": "list", "elements": "path", "default": []},
    "env_files": {"type": "list", "elements": "path", "default": []},
    "profiles": {"type": "list", "elements": "str", "default": []},
}


def project(params: t.Mapping[str, t.Any]) -> _compose.Project:
    """Return the Compose project the module's options name."""
    return _compose.Project(
        directory=params["project_src"],
        name=params["project_name"],
        files=tuple(params["files"]),
        env_files=tuple(params["env_files"]),
        profiles=tuple(params["profiles"]),
    )


def conclude(module: t.Any, work: t.Callable[[], dict[str, t.Any]]) -> t.NoReturn:
    """End the module with the result of ``work``, or with what a person has to know of its error."""
    try:
        result = work()
    except Exception as error:
        told = understood(error)
        if told is None:
            raise
        module.fail_json(**told.result())
    module.exit_json(**result)
    raise AssertionError("exit_json returned")


def not_there_yet(module: t.Any, *needed: str) -> str:
    """Return, in check mode only, which of the paths a later real run would find is still missing."""
    if not module.check_mode:
        return ""
    return next((path for path in needed if not Path(path).exists()), "")
