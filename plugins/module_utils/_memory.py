# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container was made from, which neither the Engine nor Compose remembers: its definition, and mounted files.

Nothing depends on it but the reasons of a plan: for a container that is not known, both are taken to be as they are.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _resolve
from ansible_collections.shipshape.stack.plugins.module_utils._release import write_atomically

DIRECTORY = Path("/var/lib/shipshape")

_SECRET = re.compile(r"pass|secret|token|key|credential|auth|dsn|url", re.IGNORECASE)
_UNINTERESTING = ("deploy.replicas", "scale", "labels." + _resolve.FILES_LABEL)


@dataclass(frozen=True)
class Origin:
    """Of one container: ``files`` maps a mounted file to its SHA-256, ``definition`` a dotted key to its value."""

    files: t.Mapping[str, str]
    definition: t.Mapping[str, str]


@dataclass
class Memory:
    """The origins of a project's containers, by id. Secret values are kept as hashes with ``salt``."""

    path: Path
    salt: str = field(default_factory=lambda: secrets.token_hex(16))
    origins: dict[str, Origin] = field(default_factory=dict)

    def origin(self, name: str, model: t.Mapping[str, t.Any]) -> Origin:
        """Return what a container of this service is made from now."""
        service = model["services"][name]
        files = {path: _digest(path) for path in _resolve.mounted_files(service, model)}
        return Origin(files, dict(self._flat("", service)))

    def remember(self, origins: t.Mapping[str, Origin], present: t.Container[str]) -> None:
        """Add the origins of containers, forget those that are gone, and write it down."""
        kept = {key: value for key, value in {**self.origins, **origins}.items() if key in present}
        if kept == self.origins:
            return
        self.origins = kept
        entries = {key: {"files": item.files, "definition": item.definition} for key, item in kept.items()}
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({"salt": self.salt, "containers": entries}, indent=1), mode=0o600)

    def _flat(self, prefix: str, value: t.Any) -> t.Iterator[tuple[str, str]]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from self._flat(f"{prefix}.{key}" if prefix else str(key), inner)
        elif prefix not in _UNINTERESTING:
            text = json.dumps(value, ensure_ascii=False)
            secret = prefix.startswith("environment.") and _SECRET.search(prefix.removeprefix("environment."))
            yield prefix, f"(masked {self._masked(text)})" if secret else text

    def _masked(self, text: str) -> str:
        return hashlib.blake2b(text.encode(), key=bytes.fromhex(self.salt), digest_size=4).hexdigest()


def read(project: str) -> Memory:
    """Return what is remembered of a project; nothing where the file is missing or cannot be understood."""
    path = DIRECTORY / f"{hashlib.sha256(project.encode()).hexdigest()[:16]}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        origins = {key: Origin(item["files"], item["definition"]) for key, item in content["containers"].items()}
        return Memory(path, content["salt"], origins)
    except (OSError, ValueError, KeyError, TypeError):
        return Memory(path)


def changed_files(before: Origin, now: Origin) -> list[str]:
    """Return the mounted files whose content is another; one that is new or gone shows in the configuration."""
    return sorted(path for path, digest in before.files.items() if now.files.get(path, digest) != digest)


def changed_keys(before: Origin, now: Origin) -> tuple[list[str], list[str]]:
    """Return the lines ``key: value`` that are only in one of both."""
    old, new = ({f"{key}: {value}" for key, value in item.definition.items()} for item in (before, now))
    return sorted(old - new), sorted(new - old)


def _digest(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
