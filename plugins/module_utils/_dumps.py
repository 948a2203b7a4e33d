# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps on disk: their records, which there are, which go.

A dump is three files of one name: ``.dump`` (PostgreSQL's custom format), ``.globals.sql`` (roles) and, written last,
``.json``, the record. What has no record was never finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import typing as t
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import moment

DATA, GLOBALS, RECORD, PARTIAL = ".dump", ".globals.sql", ".json", ".partial"
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Dump:
    """One verified dump. ``kind`` says what it was taken for; ``tables`` are rows by table at its moment.

    ``bytes`` are those of the file, ``size`` those of the database.
    """

    name: str
    kind: str
    database: str
    created: str
    bytes: int
    sha256: str
    seconds: float
    revision: str
    version: str
    image: str
    tables: t.Mapping[str, int]
    size: int = 0


@dataclass(frozen=True)
class Keep:
    """How many to keep: the newest ``last``, and the newest of so many days, weeks and months that have one."""

    last: int = 3
    daily: int = 7
    weekly: int = 4
    monthly: int = 6


def name(directory: Path, database: str, kind: str, now: datetime) -> str:
    """Return a name no dump has, as ``shop-20260131T235959Z-manual``."""
    while True:
        found = f"{database}-{now.strftime(_STAMP)}-{kind}"
        if not any(directory.glob(f"{found}.*")):
            return found
        now += timedelta(seconds=1)


def record_text(dump: Dump) -> str:
    """Return the content of the record."""
    return json.dumps(asdict(dump), indent=2, sort_keys=True) + "\n"


def read(path: Path) -> Dump:
    """Return what a record says. Raises StackError for one that cannot be read."""
    try:
        dump = Dump(**json.loads(path.read_text(encoding="utf-8")))
        if f"{dump.name}{RECORD}" != path.name:
            raise ValueError(f"it is the record of {dump.name}")
        moment(dump.created)
    except (OSError, ValueError, TypeError) as error:
        raise StackError(f"The record of the dump {path} cannot be read.", evidence=str(error)) from error
    return dump


def listed(directory: Path, database: str = "") -> list[Dump]:
    """Return the finished dumps, the newest first; one whose record or data is gone is none."""
    found = []
    for path in directory.glob(f"*{RECORD}"):
        with contextlib.suppress(StackError):
            dump = read(path)
            whole = (directory / f"{dump.name}{DATA}").is_file()
            if whole and database in ("", dump.database):
                found.append(dump)
    return sorted(found, key=lambda dump: (dump.created, dump.name), reverse=True)


def choose(directory: Path, wanted: str, database: str) -> Dump:
    """Return a dump by its name or the path of its file; the newest with an empty name. Raises StackError."""
    dumps = listed(directory, database)
    known = wanted.rpartition("/")[2].removesuffix(DATA)
    found = [dump for dump in dumps if known in ("", dump.name)]
    if found:
        return found[0]
    there = "\n".join(f"{dump.name}: {dump.bytes} bytes, revision {dump.revision or '(empty)'}" for dump in dumps)
    raise StackError(
        f"There is no dump {known} of {database} in {directory}." if known else f"There is no dump in {directory}.",
        evidence=there or f"No finished dump of {database} is there.",
        fix="Name one of these." if dumps else "Take one: playbooks/backup.yml.",
    )


def check(directory: Path, dump: Dump) -> None:
    """Raise StackError unless the file is the one that was verified when it was written."""
    path = directory / f"{dump.name}{DATA}"
    size = path.stat().st_size
    evidence = f"{path} has {size} bytes; its record says {dump.bytes}."
    if size == dump.bytes:
        found = sha256(path)
        evidence = f"{path} has the SHA-256 {found}; its record says {dump.sha256}."
        if found == dump.sha256:
            return
    raise StackError(
        f"The dump {dump.name} is not what was written.",
        evidence=evidence,
        fix="Use another dump, or a copy of this one from elsewhere. Nothing was touched.",
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def outdated(dumps: t.Iterable[Dump], keep: Keep) -> list[Dump]:
    """Return the dumps that go, the newest first; at least the newest stays."""
    newest_first = sorted(dumps, key=lambda dump: (dump.created, dump.name), reverse=True)
    kept = {dump.name for dump in newest_first[: max(keep.last, 1)]}
    for count, period in ((keep.daily, "%Y-%m-%d"), (keep.weekly, "%G-%V"), (keep.monthly, "%Y-%m")):
        newest: dict[str, str] = {}
        for dump in newest_first:
            newest.setdefault(moment(dump.created).strftime(period), dump.name)
        kept |= set(list(newest.values())[:count])
    return [dump for dump in newest_first if dump.name not in kept]


def remove(directory: Path, dump: Dump) -> None:
    """Remove a dump; its record goes first, so half a dump is never listed."""
    for suffix in (RECORD, DATA, GLOBALS):
        (directory / f"{dump.name}{suffix}").unlink(missing_ok=True)


def clear_partial(directory: Path) -> list[str]:
    """Remove what runs that were killed left behind; what is still being written is locked. Return the names."""
    unfinished = [
        path
        for suffix in (DATA, GLOBALS)
        for path in directory.glob(f"*{suffix}")
        if not path.with_name(path.name.removesuffix(suffix) + RECORD).exists() and _is_ours(path, suffix)
    ]
    gone = []
    for path in [*directory.glob(f"*{PARTIAL}"), *unfinished]:
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            gone.append(path.name)
    return gone


def now() -> datetime:
    """Return the time, in whole seconds as records hold it."""
    return datetime.now(UTC).replace(microsecond=0)


def _is_ours(path: Path, suffix: str) -> bool:
    # Somebody may have put a dump of their own here, by another name.
    parts = path.name.removesuffix(suffix).split("-")
    with contextlib.suppress(ValueError):
        return len(parts) >= 3 and bool(datetime.strptime(parts[-2], _STAMP))
    return False
