# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge's nginx configuration: compare, validate in a throwaway container, replace file by file."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import content_hash, write_atomically

CONFIG_IN_CONTAINER = "/etc/nginx/stack"
TLS_IN_CONTAINER = "/etc/nginx/tls"
STAMP = ".validated"
"""Holds the hash of the content and image that nginx accepted last; nginx reads no file of this name."""

_MODE = 0o644
_EMERG = re.compile(r"\[(?:emerg|crit|error)\] (?:\d+#\d+: )?(?P<message>.+?)(?: in (?P<file>/\S+?):(?P<line>\d+))?$")


@dataclass(frozen=True)
class Change:
    """One file that differs; ``before`` is None for a new file, ``after`` for one that goes away."""

    name: str
    before: str | None
    after: str | None


def check_names(files: t.Mapping[str, str]) -> None:
    """Refuse paths that leave the directory, and a configuration without its entry."""
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or str(PurePosixPath(name)) != name or name == STAMP:
            raise StackError(
                f"{name!r} is not a file below the configuration directory.",
                fix="Use relative paths such as conf.d/site.conf.",
            )
    if "nginx.conf" not in files:
        raise StackError("There is no nginx.conf among the files.", fix="It is where nginx starts to read; add it.")


def read_live(directory: Path) -> dict[str, str]:
    """Return the files there are, by relative path; an absent directory has none."""
    return {
        str(path.relative_to(directory)): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != STAMP
    }


def check_directory(directory: Path, live: t.Mapping[str, str]) -> None:
    """Refuse a directory with files of somebody else: what is not declared is removed from it."""
    if live and "nginx.conf" not in live:
        raise StackError(
            f"{directory} holds files, but no nginx.conf: it does not look like a configuration of the edge.",
            evidence="\n".join(sorted(live)[:10]),
            fix="Give a directory of its own, or empty this one.",
        )


def changes(live: t.Mapping[str, str], files: t.Mapping[str, str]) -> list[Change]:
    """Return what differs, by name."""
    names = sorted({*live, *files})
    return [Change(name, live.get(name), files.get(name)) for name in names if live.get(name) != files.get(name)]


def wrong_modes(directory: Path, files: t.Mapping[str, str]) -> list[str]:
    """Return the files on disk the container's user might not be able to read."""
    paths = {name: directory / name for name in files}
    return [name for name, path in paths.items() if path.is_file() and path.stat().st_mode & 0o7777 != _MODE]


def stamp(files: t.Mapping[str, str], image: str) -> str:
    """Return what identifies a validation: the same content with the same image, whose reference is a content hash."""
    return f"{content_hash({**files, STAMP: image})}\n"


def is_validated(directory: Path, expected: str) -> bool:
    """Whether nginx accepted exactly this content with exactly this image before."""
    with contextlib.suppress(FileNotFoundError):
        return (directory / STAMP).read_text(encoding="utf-8") == expected
    return False


def validate(client: t.Any, image: str, files: t.Mapping[str, str], *, scratch: Path, tls: Path, user: str) -> None:
    """Let nginx of ``image`` test the files, as it would read them when it starts.

    ``scratch`` is an existing directory the candidate is written below. Raises StackError with nginx's own line.
    """
    # The Docker SDK takes 0.4 s to load, and most runs change nothing.
    from ansible_collections.shipshape.stack.plugins.module_utils import _engine

    candidate = Path(tempfile.mkdtemp(prefix=".nginx-candidate-", dir=scratch))
    try:
        write_files(candidate, files)
        code, output = _engine.run_once(
            client,
            image,
            ["-t", "-e", "stderr", "-c", f"{CONFIG_IN_CONTAINER}/nginx.conf"],
            entrypoint=["nginx"],
            user=user,
            mounts={str(candidate): CONFIG_IN_CONTAINER, str(tls): TLS_IN_CONTAINER},
            tmpfs=["/tmp", "/var/cache/nginx"],
        )
    finally:
        shutil.rmtree(candidate)
    if code != 0:
        raise rejection(output, files)


def rejection(output: str, files: t.Mapping[str, str]) -> StackError:
    """Return the error for what ``nginx -t`` printed, with the lines of the file it complains about."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    evidence, fix = "\n".join(lines[-10:]), "Correct the setting that leads to this line; the live files are untouched."
    for line in lines:
        match = _EMERG.search(line)
        if match is None:
            continue
        evidence = line
        if match["file"]:
            name = match["file"].removeprefix(f"{CONFIG_IN_CONTAINER}/")
            evidence = "\n".join([line, *excerpt(files.get(name, ""), int(match["line"]))])
        if "curves_list" in match["message"] or "SSL_CTX_set1_groups" in match["message"]:
            fix = (
                "The OpenSSL of this image does not know one of the groups (X25519MLKEM768 needs OpenSSL 3.5): "
                "take it out of nginx_proxy_tls_groups, or use a newer nginx image."
            )
        elif 'invalid parameter "resolve"' in match["message"]:
            fix = "Use an nginx image >= 1.27.4: it follows a service to its new address."
        elif "keepalive_min_timeout" in match["message"]:
            fix = "Use an nginx image >= 1.27.4: its reload breaks no connection that is in use."
        break
    return StackError("nginx refuses the new edge configuration.", evidence=evidence, fix=fix)


def excerpt(content: str, number: int, around: int = 2) -> list[str]:
    """Return the lines near ``number`` (from 1), the line itself marked."""
    lines = content.splitlines()
    first, last = max(number - around, 1), min(number + around, len(lines))
    return [f"{'>' if at == number else ' '} {at:4} | {lines[at - 1]}" for at in range(first, last + 1)]


def write_files(directory: Path, files: t.Mapping[str, str]) -> None:
    """Write every file that differs, each by rename; the directory itself stays the same inode."""
    _make_directory(directory)
    for name, content in files.items():
        path = directory / name
        for parent in reversed(path.relative_to(directory).parents):
            _make_directory(directory / parent)
        write_atomically(path, content, mode=_MODE)


def remove_files(directory: Path, names: t.Iterable[str]) -> None:
    """Remove files, and the directories they leave empty."""
    for name in names:
        path = directory / name
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == directory or any(parent.iterdir()):
                break
            parent.rmdir()


def write_stamp(directory: Path, content: str) -> None:
    """Record a validation."""
    write_atomically(directory / STAMP, content, mode=_MODE)


def _make_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_mode & 0o7777 != 0o755:
        path.chmod(0o755)
