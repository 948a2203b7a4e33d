# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a dump that can be trusted: one snapshot for rows and data, read again before it gets its name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _dumps, _engine, _postgres
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import write_atomically

MODE = 0o600


def application(kind: str) -> str:
    """Return what the connections of a dump are called."""
    return f"shipshape-dump-{kind}"


def make(
    container: _engine.Container,
    session: _postgres.Session,
    database: _postgres.Database,
    directory: Path,
    *,
    kind: str,
    timeout: float,
) -> _dumps.Dump:
    """Dump a database into ``directory`` and return the dump, which is verified and on the disk.

    ``session`` is a connection to it that holds no transaction; files get the owner of the directory. Raises
    StackError, and then there is no new dump and nothing of one.
    """
    begun = time.monotonic()
    check_space(directory, _postgres.state(session).size)
    _dumps.clear_partial(directory)
    moment = _dumps.now()
    name = _dumps.name(directory, database.name, kind, moment)
    partial = directory / f"{name}{_dumps.DATA}{_dumps.PARTIAL}"
    owner = directory.stat()
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
    try:
        snapshot = session.query("SELECT to_json(pg_export_snapshot())")
        # Of the snapshot: a migration may end while the dump is taken.
        state, tables = _postgres.state(session), _postgres.count_rows(session, timeout)
        argv = ["pg_dump", "-U", database.user, "-d", database.name, "--format=custom", f"--snapshot={snapshot}"]
        with contextlib.ExitStack() as clean:
            clean.callback(partial.unlink, missing_ok=True)
            with _new(partial, owner) as stream:
                written = _postgres.read_from(
                    container.id, argv, stream, timeout=timeout, application=application(kind)
                )
                stream.flush()
                os.fsync(stream.fileno())
                _verify(container.id, partial, tables, timeout)
                globals_file = directory / f"{name}{_dumps.GLOBALS}"
                clean.callback(globals_file.unlink, missing_ok=True)
                _write_globals(container.id, database, session, globals_file, owner, timeout)
                dump = _dumps.Dump(
                    name=name,
                    kind=kind,
                    database=database.name,
                    created=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    bytes=written.bytes,
                    sha256=written.sha256,
                    seconds=round(time.monotonic() - begun, 2),
                    revision=",".join(state.revisions),
                    version=state.version,
                    image=container.image_name,
                    tables=tables,
                    size=state.size,
                )
                data = directory / f"{name}{_dumps.DATA}"
                partial.rename(data)
                clean.callback(data.unlink, missing_ok=True)
                record = directory / f"{name}{_dumps.RECORD}"
                write_atomically(record, _dumps.record_text(dump), mode=MODE, uid=owner.st_uid, gid=owner.st_gid)
                _sync(directory)
                clean.pop_all()
    except OSError as error:
        raise _cannot_write(directory, error) from error
    session.run("COMMIT;")
    return dump


def check_space(directory: Path, size: int) -> None:
    """Raise StackError where a dump might not fit: compressed, it is smaller than the database in practice."""
    if not directory.is_dir():
        raise StackError(
            f"The directory {directory} for dumps does not exist.",
            fix="Apply the role shipshape.stack.app_host, or make it with mode 0700.",
        )
    disk = os.statvfs(directory)
    free = disk.f_bavail * disk.f_frsize
    if free < size:
        raise StackError(
            "There may not be room for a dump.",
            evidence=f"{free // 1024**2} MiB are free in {directory}; the database has {size // 1024**2} MiB.",
            fix="Free space there, or remove old dumps. Nothing was changed.",
        )


def _new(path: Path, owner: os.stat_result) -> t.BinaryIO:
    """Open a new file, locked for as long as it is open: that it is being written is seen by others."""
    stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE), "wb")
    fcntl.flock(stream, fcntl.LOCK_EX)
    os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
    return stream


def _verify(container_id: str, path: Path, tables: t.Collection[str], timeout: float) -> None:
    """Let pg_restore read the whole file as it would to restore it, and look whether all tables are in it."""
    with path.open("rb") as stream:
        _postgres.write_to(container_id, ["pg_restore", "--file=/dev/null"], stream, timeout=timeout)
    with path.open("rb") as stream:
        listing = _postgres.write_to(container_id, ["pg_restore", "--list"], stream, timeout=timeout)
    found = listing.count(" TABLE DATA ")
    if found < len(tables):
        raise StackError(
            "The dump does not hold all tables.",
            evidence=f"{found} of {len(tables)} are in it.",
            fix="Read the log of the database service. Nothing was changed, and this dump was not kept.",
        )


def _write_globals(
    container_id: str,
    database: _postgres.Database,
    session: _postgres.Session,
    path: Path,
    owner: os.stat_result,
    timeout: float,
) -> None:
    """Write the roles of the cluster; their passwords only where the user may read them."""
    superuser = session.query("SELECT to_json(rolsuper) FROM pg_roles WHERE rolname = current_user")
    argv = ["pg_dumpall", "-U", database.user, "-l", database.name, "--globals-only"]
    if not superuser:
        argv.append("--no-role-passwords")
    with _new(path, owner) as stream:
        _postgres.read_from(container_id, argv, stream, timeout=timeout)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(directory: Path, error: OSError) -> StackError:
    return StackError(
        "The dump could not be written.", evidence=str(error), fix=f"Make room in {directory}. Nothing was changed."
    )
