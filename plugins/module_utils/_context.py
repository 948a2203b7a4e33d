# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a build as one hash: context after .dockerignore, Dockerfile, target, arguments, base images."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

try:
    from docker.utils.build import exclude_paths
except ImportError:
    # _engine.connect() reports the missing SDK before anything here is called.
    exclude_paths = None


@dataclass(frozen=True)
class Build:
    """One image to build. Paths are absolute; ``secrets`` maps a BuildKit secret id to a file and is not hashed."""

    context: str
    dockerfile: str
    target: str = ""
    args: t.Mapping[str, str] = field(default_factory=dict)
    secrets: t.Mapping[str, str] = field(default_factory=dict)


def from_service(definition: t.Mapping[str, t.Any], secrets: t.Mapping[str, t.Any]) -> Build:
    """Return the build of a service of ``docker compose config``; ``secrets`` are the project's top-level ones."""
    build = definition["build"]
    context = build["context"]
    chosen = [item["source"] for item in build.get("secrets") or []]
    return Build(
        context=context,
        dockerfile=str(Path(context, build.get("dockerfile") or "Dockerfile")),
        target=build.get("target") or "",
        args={key: value or "" for key, value in (build.get("args") or {}).items()},
        secrets={name: secrets[name]["file"] for name in chosen},
    )


def base_references(dockerfile: str, args: t.Mapping[str, str]) -> list[str]:
    """Return the image references the FROM lines lead to, without names of earlier stages and `scratch`."""
    values: dict[str, str] = {}
    stages, found = {"scratch"}, []
    for line in dockerfile.splitlines():
        if re.match(r"\s*ARG\s", line, re.IGNORECASE):
            for name, default in re.findall(r"\s(\w+)(?:=(\"[^\"]*\"|'[^']*'|\S+))?", line):
                values[name] = args.get(name, _expand(default.strip("\"'"), values))
        elif match := re.match(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", line, re.IGNORECASE):
            reference = _expand(match[1].strip("\"'"), values)
            if reference.lower() not in stages:
                found.append(reference)
            stages.add((match[2] or "").lower())
    return list(dict.fromkeys(found))


def content_hash(build: Build, base_ids: t.Mapping[str, str]) -> str:
    """Return the SHA-256 of everything that decides what the image holds.

    ``base_ids`` maps each base reference to its image id. Owner and times of files do not count, the executable
    bit and symbolic links do.
    """
    digest = hashlib.sha256()
    dockerfile = dockerfile_text(build)
    for part in (dockerfile, build.target, repr(sorted(build.args.items())), repr(sorted(base_ids.items()))):
        digest.update(f"{len(part)}:{part}".encode())
    root = Path(build.context)
    for name in sorted(exclude_paths(build.context, _ignored(build))):
        path = root / name
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            digest.update(os.fsencode(f"link {name}\0{path.readlink()}\0"))
        elif stat.S_ISREG(status.st_mode):
            executable = bool(status.st_mode & stat.S_IXUSR)
            digest.update(os.fsencode(f"file {name}\0{executable}\0{status.st_size}\0"))
            digest.update(path.read_bytes())
    return digest.hexdigest()


def dockerfile_text(build: Build) -> str:
    """Return the Dockerfile's text. Raises StackError when it or its context is missing."""
    if not Path(build.context).is_dir():
        raise StackError(
            f"The build context {build.context} does not exist.", fix="Correct `context`, or the source's path."
        )
    try:
        return Path(build.dockerfile).read_text(encoding="utf-8")
    except OSError as error:
        raise StackError(
            f"The Dockerfile {build.dockerfile} cannot be read.", evidence=str(error), fix="Correct `dockerfile`."
        ) from error


def _expand(text: str, values: t.Mapping[str, str]) -> str:
    """Fill in ``$NAME``, ``${NAME}`` and ``${NAME:-default}``. Dockerfile reference: environment replacement."""
    pattern = r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})"
    return re.sub(pattern, lambda match: values.get(match[1] or match[2]) or match[3] or "", text)


def _ignored(build: Build) -> list[str]:
    for path in (Path(build.dockerfile + ".dockerignore"), Path(build.context, ".dockerignore")):
        if path.is_file():
            lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            return [line.lstrip("/") for line in lines if line and not line.startswith("#")]
    return []
