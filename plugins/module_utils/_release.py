# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records on disk: atomic writes, the deploy lock, and release directories."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import json
import os
import shutil
import signal
import socket
import tempfile
import typing as t
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

RECORD = "release.json"
LOCKS = Path("/run/shipshape")
STAGING = ".staging-"
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Release:
    """One deployed state. ``outcome`` is ``staged``, ``deployed`` or ``failed``; times are UTC, ISO 8601.

    ``images`` are what was built for it, ``digests`` the ids of the images of all services. ``revision`` is what the
    database was at when it was deployed, ``heads`` where its migrations lead, ``dump`` what was taken before them.
    ``seconds`` are those of the steps, ``verdicts`` the gate's words by service.
    """

    id: str
    content_hash: str
    created: str
    created_by: str
    images: dict[str, str]
    outcome: str
    revision: str = ""
    deployed: str = ""
    source: str = ""
    heads: str = ""
    dump: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """A release directory whose record cannot be read, and why."""

    id: str
    reason: str


def write_atomically(path: Path, content: str | bytes, *, mode: int = 0o640, uid: int = -1, gid: int = -1) -> bool:
    """Make ``path`` hold ``content`` with ``mode`` and owner (-1: keep); return whether anything changed.

    The file is replaced by rename after it reached the disk, so a reader sees the old or the new content.
    """
    data = content.encode() if isinstance(content, str) else content
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        same_owner = uid in (-1, status.st_uid) and gid in (-1, status.st_gid)
        if same_owner and status.st_mode & 0o7777 == mode and path.read_bytes() == data:
            return False
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fchown(stream.fileno(), uid, gid)
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True


def content_hash(parts: t.Mapping[str, str]) -> str:
    """Return the SHA-256 of named contents, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        digest.update(f"{name}\0{len(parts[name])}\0{parts[name]}".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def lock(path: Path, wait: float = 0.0) -> t.Iterator[None]:
    """Hold the deploy lock; the kernel drops it when its holder dies, so it is never stale.

    Raises StackError that names the holder when another deploy is still running after ``wait`` seconds.
    """
    with path.open("a+", encoding="utf-8") as stream:
        if not _locked(stream, wait):
            stream.seek(0)
            raise StackError(
                "Another deploy of this project is running on this host.",
                evidence=stream.read().strip() or "The holder has not written its name yet.",
                fix="Wait until it ends. If it hangs, stop the process named above; the lock goes with it.",
            )
        stream.truncate(0)
        stream.write(f"pid {os.getpid()} on {socket.gethostname()}, user {getpass.getuser()}, since {utc_now()}\n")
        stream.flush()
        yield


def _locked(stream: t.TextIO, wait: float) -> bool:
    """Lock a file, at the latest after ``wait`` seconds; return whether it is locked."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    if wait <= 0:
        return False

    def over(_number: int, _frame: t.Any) -> t.NoReturn:
        raise TimeoutError

    # flock knows no deadline; a signal ends it.
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, wait)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX)
    except TimeoutError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return True


@contextlib.contextmanager
def project_lock(project: str, wait: float = 0.0) -> t.Iterator[None]:
    """Hold the deploy lock of a Compose project on this host; see ``lock``."""
    name = hashlib.sha256(project.encode()).hexdigest()[:16]
    with contextlib.ExitStack() as held:
        try:
            LOCKS.mkdir(mode=0o700, exist_ok=True)
            held.enter_context(lock(LOCKS / f"{name}.lock", wait))
        except PermissionError as error:
            raise StackError(
                f"The deploy lock in {LOCKS} cannot be taken.",
                evidence=str(error),
                fix="Run this task with `become: true`.",
            ) from error
        yield


def utc_now() -> str:
    """Return the time as ``2026-01-31T23:59:59Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(stamp: str) -> datetime:
    """Return the time that ``utc_now`` wrote. Raises ValueError for anything else."""
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def read(directory: Path) -> Release:
    """Return the record of a release directory."""
    try:
        release = Release(**json.loads((directory / RECORD).read_text(encoding="utf-8")))
        _check(release, directory.name)
        return release
    except (OSError, ValueError, TypeError) as error:
        raise StackError(
            f"The release record in {directory} cannot be read.",
            evidence=str(error),
            fix="Remove this directory if `current` does not point at it; the next deploy makes a new one.",
        ) from error


def active_id(root: Path) -> str:
    """Return the id of the release that `current` points at, empty before the first deploy."""
    link = root / "current"
    return link.resolve().name if link.exists() else ""


def current(root: Path) -> Release | None:
    """Return the release that `current` points at, or None before the first deploy."""
    link = root / "current"
    return read(link.resolve()) if link.exists() else None


def entries(root: Path) -> list[Release | Broken]:
    """Return all releases, the newest first; one whose record cannot be read does not hide the others."""
    found: list[Release | Broken] = []
    for directory in sorted((root / "releases").glob("[!.]*/"), reverse=True):
        try:
            found.append(read(directory))
        except StackError as error:
            found.append(Broken(directory.name, error.evidence))
    return found


def listed(root: Path) -> list[Release]:
    """Return all whole releases, the newest first."""
    return [item for item in entries(root) if isinstance(item, Release)]


def stage(root: Path, release: Release, files: t.Mapping[str, str], *, uid: int, gid: int) -> Path:
    """Write a release directory whole: it appears under its name with everything in it, or not at all."""
    releases = root / "releases"
    target = releases / release.id
    scratch = Path(tempfile.mkdtemp(dir=releases, prefix=STAGING))
    try:
        contents = {**files, RECORD: _json(release)}
        for name, content in contents.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content, uid=uid, gid=gid)
        for directory in [scratch, *(path for path in scratch.rglob("*") if path.is_dir())]:
            directory.chmod(0o750)
            os.chown(directory, uid, gid)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return target


def record(root: Path, release: Release) -> bool:
    """Rewrite the record of an existing release; return whether it changed."""
    path = root / "releases" / release.id / RECORD
    status = path.stat()
    return write_atomically(path, _json(release), uid=status.st_uid, gid=status.st_gid)


def activate(root: Path, release_id: str) -> bool:
    """Point `current` at a release, atomically; return whether it moved."""
    link, target = root / "current", f"releases/{release_id}"
    if link.is_symlink() and str(link.readlink()) == target:
        return False
    scratch = root / ".current.new"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(target)
    scratch.replace(link)
    return True


def remove(root: Path, release_id: str) -> None:
    """Remove the directory of a release that `current` does not point at."""
    shutil.rmtree(root / "releases" / release_id)


def release_id(root: Path, digest: str) -> str:
    """Return ``20260131T235959Z-1a2b3c4d5e`` for a content hash: the time of now, and always later than all there are.

    Releases are in the order of their ids, also those of one second and those made after a clock was put back.
    """
    stamp = datetime.now(UTC)
    for directory in (root / "releases").glob("[0-9]*/"):
        with contextlib.suppress(ValueError):
            taken = datetime.strptime(directory.name.partition("-")[0], _STAMP).replace(tzinfo=UTC)
            stamp = max(stamp, taken + timedelta(seconds=1))
    return f"{stamp.strftime(_STAMP)}-{digest[:10]}"


def _json(release: Release) -> str:
    return json.dumps(asdict(release), indent=2, sort_keys=True) + "\n"


def _check(release: Release, name: str) -> None:
    """Raise ValueError where a record does not hold what its fields promise."""
    kinds: dict[str, t.Any] = {"images": str, "digests": str, "verdicts": str, "seconds": (int, float)}
    wrong = [
        name
        for name, value in asdict(release).items()
        if not (
            isinstance(value, dict) and all(isinstance(item, kinds[name]) for item in value.values())
            if name in kinds
            else isinstance(value, str)
        )
    ]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: not of the type that a release has there")
    if release.id != name:
        raise ValueError(f"it is the record of {release.id}")
    moment(release.created)
    if release.deployed:
        moment(release.deployed)
