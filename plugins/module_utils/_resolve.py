# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the declared project to the resolved Compose file of a release."""

from __future__ import annotations

import hashlib
import json
import tempfile
import typing as t
from dataclasses import replace
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _compose
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

FILES_LABEL = "shipshape.stack.files"


COMPOSE_FILE = "compose.yaml"


def release_files(
    project: _compose.Project, model: t.Mapping[str, t.Any], images: t.Mapping[str, str], include: t.Mapping[str, str]
) -> dict[str, str]:
    """Return path -> content of a release of the project; ``include`` maps a name in it to a directory to copy."""
    files = {COMPOSE_FILE: resolved(project, model, images)}
    for name, directory in include.items():
        for path in sorted(Path(directory).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                files[f"{name}/{path.relative_to(directory)}"] = path.read_text(encoding="utf-8")
    return files


def resolved(project: _compose.Project, model: t.Mapping[str, t.Any], images: t.Mapping[str, str]) -> str:
    """Return the project, of which ``model`` is Compose's view, as one canonical Compose file that builds nothing.

    Every service with single files mounted (secrets, configs) carries a label that changes with them, so that a new
    secret recreates exactly its consumers. The label tells times and sizes, nothing of the content.
    """
    missing = [name for name, service in model["services"].items() if "build" in service and name not in images]
    if missing:
        raise StackError(
            f"There is no built image for {', '.join(missing)}.",
            evidence=f"`images` holds: {', '.join(images) or 'nothing'}.",
            fix="Pass what shipshape.stack.image_build returned as `images`.",
        )
    lines = ["services:"]
    for name, service in model["services"].items():
        lines.append(f"  {json.dumps(name)}:")
        if "build" in service:
            lines += [f"    image: {json.dumps(images[name])}", "    build: !reset null"]
        mounted = mounted_files(service, model)
        if mounted:
            lines += ["    labels:", f"      {FILES_LABEL}: {stamp(mounted)}"]
        if "build" not in service and not mounted:
            lines[-1] += " {}"
    # Build secrets are of no use to a project that builds nothing.
    used = {item["source"] for service in model["services"].values() for item in service.get("secrets") or []}
    unused = [name for name in model.get("secrets") or {} if name not in used]
    if unused:
        lines += ["secrets:", *(f"  {json.dumps(name)}: !reset null" for name in unused)]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as override:
        override.write("\n".join(lines) + "\n")
        override.flush()
        files = project.files or _default_files(project.directory)
        return _compose.config_yaml(replace(project, files=(*files, override.name)))


def mounted_files(service: t.Mapping[str, t.Any], model: t.Mapping[str, t.Any]) -> list[str]:
    """Return the single files of the host that the service mounts: secrets, configs and bind mounts."""
    found = [item["source"] for item in service.get("volumes") or [] if item["type"] == "bind"]
    for kind in ("secrets", "configs"):
        declared = model.get(kind) or {}
        names = [item["source"] for item in service.get(kind) or []]
        found += [declared[name]["file"] for name in names if "file" in declared[name]]
    return sorted(path for path in found if Path(path).is_file())


def stamp(paths: t.Iterable[str]) -> str:
    """Return a short hash of names, sizes and modification times."""
    digest = hashlib.sha256()
    for path in paths:
        status = Path(path).stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _default_files(directory: str) -> tuple[str, ...]:
    # The order in which Compose itself looks for its file, and for the one that overrides it.
    names = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
    overrides = tuple(name.replace("compose.", "compose.override.") for name in names)
    found = []
    for group in (names, overrides):
        found += [str(Path(directory, name)) for name in group if Path(directory, name).is_file()][:1]
    return tuple(found)
