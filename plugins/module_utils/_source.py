# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a part of the monorepo states its dependencies: the package manager, and the files it has to see to install.

Reads files of the source tree, on the controller, and changes none.
"""

from __future__ import annotations

import json
import re
import tomllib
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

PYTHON_LOCKS = {"uv.lock": "uv", "poetry.lock": "poetry", "requirements.txt": "pip", "pyproject.toml": "pip"}
NODE_LOCKS = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "package-lock.json": "npm"}

_PIP_DEV_FILES = ("requirements-dev.txt", "requirements_dev.txt", "dev-requirements.txt", "requirements/dev.txt")
_PIP_DEV_GROUPS = ("dev", "test", "tests")
_NODE_SETTINGS = {"pnpm": (".npmrc", "pnpm-workspace.yaml", ".pnpmfile.cjs"), "npm": (".npmrc",), "yarn": (".yarnrc",)}
_NODE_TOOLS = {"pnpm": "pnpm@10", "yarn": "yarn@1", "npm": "npm"}
# The newest pnpm that writes each version of the lock file.
_PNPM_OF_LOCK = {"5.4": "pnpm@7", "6.0": "pnpm@8"}


class SourceError(Exception):
    """A part of the source that no Dockerfile can be written for."""

    def __init__(self, expected: str, found: str, fix: str) -> None:
        """Say what was ``expected``, what was ``found`` and how to ``fix`` it."""
        super().__init__(f"{expected}, {found}. {fix}")
        self.expected, self.found, self.fix = expected, found, fix


@dataclass(frozen=True)
class Part:
    """Dependencies of the backend or the frontend.

    ``manifests`` maps a folder (``./``, ``./requirements/``) to the files in it that installing needs. ``tool`` is the
    package manager as npm takes it (``pnpm@10.4.1``), for a frontend. ``manifest`` lists the dependencies of a backend,
    ``dev`` is what ``uv pip install`` takes for its development ones. ``ignore`` is the part's own .dockerignore.
    """

    manager: str = ""
    manifests: t.Mapping[str, list[str]] = field(default_factory=dict)
    tool: str = ""
    manifest: str = "pyproject.toml"
    dev: str = ""
    ignore: str = ""


def python_part(root: Path) -> Part:
    """Return what the backend in ``root`` installs. Raises SourceError."""
    manager = _manager(root, PYTHON_LOCKS)
    ignore = _text(root / ".dockerignore")
    if manager == "uv":
        return Part(manager, _folders([*_present(root, "uv.toml"), "pyproject.toml", "uv.lock"]), ignore=ignore)
    if manager == "poetry":
        return Part(manager, _folders(["pyproject.toml", "poetry.lock"]), ignore=ignore)
    if (root / "requirements.txt").is_file():
        dev = next(iter(_present(root, *_PIP_DEV_FILES)), "")
        files = [file for start in ("requirements.txt", dev) if start for file in _requirement_files(root, start)]
        dev_arguments = f"-r {dev}" if dev else ""
        return Part(manager, _folders(files), manifest="requirements.txt", dev=dev_arguments, ignore=ignore)
    return Part(manager, _folders(["pyproject.toml"]), dev=_dev_group(root), ignore=ignore)


def node_part(root: Path) -> Part:
    """Return what the frontend in ``root`` installs. Raises SourceError."""
    manager = _manager(root, NODE_LOCKS)
    lock = next(lock for lock, name in NODE_LOCKS.items() if name == manager)
    files = ["package.json", lock, *_present(root, *_NODE_SETTINGS[manager])]
    files += sorted(str(patch.relative_to(root)) for patch in (root / "patches").glob("*.patch"))
    return Part(manager, _folders(files), tool=_node_tool(root, manager, lock), ignore=_text(root / ".dockerignore"))


def _manager(root: Path, locks: t.Mapping[str, str]) -> str:
    for lock, manager in locks.items():
        if (root / lock).is_file():
            return manager
    found = "a directory without one" if root.is_dir() else "no such directory"
    fix = "Correct the path, commit a lock file, or disable the service."
    raise SourceError(f"a directory with one of {', '.join(locks)}", found, fix)


def _node_tool(root: Path, manager: str, lock: str) -> str:
    lock_text = _text(root / lock)
    if manager == "yarn" and "__metadata:" in lock_text:
        fix = "Bring a Dockerfile of your own beside package.json, or use pnpm or npm."
        raise SourceError("a lock file of Yarn 1", "one of Yarn 2 or newer", fix)
    try:
        package = json.loads((root / "package.json").read_text(encoding="utf-8"))
        pinned = str(package.get("packageManager", "")).split("+", maxsplit=1)[0]
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError("a readable package.json", str(error), f"Commit it beside {lock}.") from error
    if manager != "npm" and pinned.startswith(f"{manager}@"):
        return pinned
    version = re.match(r"lockfileVersion: '?([\d.]+)", lock_text)
    return _PNPM_OF_LOCK.get(version[1], _NODE_TOOLS[manager]) if version else _NODE_TOOLS[manager]


def _requirement_files(root: Path, start: str) -> list[str]:
    """Return ``start`` and every file it includes with -r or -c, relative to ``root``."""
    found: list[str] = []
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.append(name)
        for line in _text(root / name).splitlines():
            if re.match(r"(-e|--editable)\b|\.{1,2}(/|$)|file:", line):
                fix = "Remove it: the source itself is imported from its directory. Or bring a Dockerfile of your own."
                raise SourceError(f"only published packages in {name}", f"`{line.strip()}`", fix)
            if match := re.match(r"(?:-r|--requirement|-c|--constraint)[\s=]+([^\s#]+)", line):
                included = (root / name).parent / match[1]
                inside = included.resolve().is_relative_to(root.resolve())
                if not (inside and included.is_file()):
                    fix = f"Correct {name}; what it includes must be in the same part of the repository."
                    raise SourceError(f"the file {match[1]}, included by {name}", "nothing", fix)
                waiting.append(str(included.resolve().relative_to(root.resolve())))
    return found


def _dev_group(root: Path) -> str:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        groups = project.get("dependency-groups", {})
        extras = project.get("project", {}).get("optional-dependencies", {})
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError("a readable pyproject.toml", str(error), "Correct it.") from error
    for name in _PIP_DEV_GROUPS:
        if name in groups:
            return f"--group {name}"
        if name in extras:
            return f"-r pyproject.toml --extra {name}"
    return ""


def _folders(files: t.Iterable[str]) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    for file in dict.fromkeys(files):
        path = Path(file)
        folders.setdefault("./" if str(path.parent) == "." else f"./{path.parent}/", []).append(file)
    return folders


def _present(root: Path, *names: str) -> list[str]:
    return [name for name in names if (root / name).is_file()]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
