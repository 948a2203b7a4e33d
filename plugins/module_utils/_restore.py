# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting a dump back: beside the live database, proved, then swapped by name; or into a container nobody reaches."""

from __future__ import annotations

import contextlib
import re
import time
import typing as t
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _dumps, _engine, _postgres
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

SWAP_TURNS = 3
BESIDE = "_restoring"
REPLACED = "_before_"
MAINTENANCE = "postgres"
"""The database to be connected to while others are renamed. PostgreSQL documentation: initdb makes it."""


@dataclass(frozen=True)
class Proof:
    """What a restored dump holds: as many rows of each table as were there at its moment."""

    tables: int
    rows: int
    revision: str
    seconds: float


def beside(
    client: t.Any,
    container: _engine.Container,
    database: _postgres.Database,
    dump: _dumps.Dump,
    directory: Path,
    timeout: float,
) -> Proof:
    """Restore a dump into a new database beside the live one, and prove it. Raises StackError; then it is not there."""
    begun = time.monotonic()
    fresh = replace(database, name=f"{database.name}{BESIDE}")
    with _session(container, database, MAINTENANCE) as session:
        size = session.query(f"SELECT to_json(pg_database_size({_literal(database.name)}))")
        _check_room(client, container, session, max(int(size), dump.size))
        _drop(session, fresh.name)
        try:
            proof = _create(container, session, fresh, dump, directory, timeout)
        except BaseException:
            with contextlib.suppress(StackError):
                drop(container, database, [fresh.name])
            raise
    return replace(proof, seconds=round(time.monotonic() - begun, 2))


def swap(container: _engine.Container, database: _postgres.Database, moment: str) -> str:
    """Give the restored database the name of the live one, in one transaction; return what the live one is called now.

    Nothing may be connected to the live one but what can be ended.
    """
    kept = f"{database.name}{REPLACED}{moment}"
    for turn in range(SWAP_TURNS):
        try:
            _swap(container, database, kept)
            return kept
        except _postgres.ServerError as error:
            # Somebody connected between the end of the last connection and the lock.
            if error.code != "55006" or turn == SWAP_TURNS - 1:
                drop(container, database, [f"{database.name}{BESIDE}"])
                raise
    raise AssertionError("the last turn returns or raises")


def _swap(container: _engine.Container, database: _postgres.Database, kept: str) -> None:
    with _session(container, database, MAINTENANCE) as session:
        session.run(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname ="
            f" {_literal(database.name)} AND pid <> pg_backend_pid();"
        )
        session.run(
            f"BEGIN; ALTER DATABASE {_name(database.name)} RENAME TO {_name(kept)};"
            f" ALTER DATABASE {_name(database.name + BESIDE)} RENAME TO {_name(database.name)}; COMMIT;"
        )


def replaced(container: _engine.Container, database: _postgres.Database) -> list[str]:
    """Return the databases that earlier restores have put aside, the oldest first."""
    with _session(container, database, MAINTENANCE) as session:
        pattern = _literal(f"^{re.escape(database.name + REPLACED)}[0-9]{{8}}T[0-9]{{6}}Z$")
        return list(
            session.query(
                f"SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database WHERE datname ~ {pattern}"
            )
        )


def drop(container: _engine.Container, database: _postgres.Database, names: t.Iterable[str]) -> None:
    """Remove databases that restores have put aside."""
    with _session(container, database, MAINTENANCE) as session:
        for name in names:
            _drop(session, name)


def _create(
    container: _engine.Container,
    session: _postgres.Session,
    database: _postgres.Database,
    dump: _dumps.Dump,
    directory: Path,
    timeout: float,
) -> Proof:
    """Make a database as the dumped one was, with its roles and settings, fill it and prove it."""
    _make_roles(session, directory / f"{dump.name}{_dumps.GLOBALS}")
    data = directory / f"{dump.name}{_dumps.DATA}"
    with data.open("rb") as stream:
        script = _postgres.write_to(
            container.id, ["pg_restore", "--create", "--schema-only", "--file=-"], stream, timeout=timeout
        )
    for statement in of_database(script, dump.database, database.name):
        session.run(statement, timeout)
    argv = ["pg_restore", "-U", database.user, "-d", database.name, "--exit-on-error", "--no-password"]
    with data.open("rb") as stream:
        _postgres.write_to(container.id, argv, stream, timeout=timeout)
    with _session(container, database, database.name) as own:
        # Without statistics the first queries would be planned blindly.
        own.run("ANALYZE;", timeout)
    return prove(container, database, dump, timeout)


def of_database(script: str, old: str, new: str) -> list[str]:
    """Return the statements of a dump's script that make the database itself, for one with the name ``new``.

    They hold its encoding and locale, owner, settings and grants, which pg_restore gives to nothing but a new database.
    """
    name = f'(?:{re.escape(old)}|"{re.escape(old)}")'
    wanted = re.compile(
        rf"^(?P<before>CREATE DATABASE |ALTER DATABASE |ALTER ROLE \S+ IN DATABASE |(?:GRANT|REVOKE) .* ON DATABASE )"
        rf"{name}(?P<after> .*;)$"
    )
    found = (wanted.match(line) for line in script.splitlines())
    return [f"{match['before']}{_name(new)}{match['after']}" for match in found if match]


def prove(container: _engine.Container, database: _postgres.Database, dump: _dumps.Dump, timeout: float) -> Proof:
    """Compare revision, tables and rows with the record. Raises StackError that names what differs."""
    begun = time.monotonic()
    with _session(container, database, database.name) as session:
        found = _postgres.count_rows(session, timeout)
        revision = ",".join(_postgres.state(session).revisions)
    wrong = [
        f"{table}: {found.get(table, 'not there')}, noted were {dump.tables.get(table, 'none')}"
        for table in sorted({*found, *dump.tables})
        if found.get(table) != dump.tables.get(table)
    ]
    if revision != dump.revision:
        wrong.append(f"revision: {revision or '(empty)'}, noted was {dump.revision or '(empty)'}")
    if wrong:
        raise StackError(
            f"The dump {dump.name} does not restore to what was noted when it was taken.",
            evidence="\n".join(wrong),
            fix="Use another dump. The live database was not touched.",
        )
    return Proof(len(found), sum(found.values()), revision, round(time.monotonic() - begun, 2))


def drill(client: t.Any, dump: _dumps.Dump, directory: Path, user: str, timeout: float) -> Proof:
    """Restore a dump in a container of its own image that has no network, prove it, and remove that container."""
    begun = time.monotonic()
    database = _postgres.Database("drill", user, dump.database)
    with (
        _throwaway(client, dump.image, database, timeout) as container,
        _session(container, database, MAINTENANCE) as session,
    ):
        proof = _create(container, session, database, dump, directory, timeout)
    return replace(proof, seconds=round(time.monotonic() - begun, 2))


@contextlib.contextmanager
def _throwaway(
    client: t.Any, image: str, database: _postgres.Database, timeout: float
) -> t.Iterator[_engine.Container]:
    """Yield a PostgreSQL that is empty but for its database, without a network; it goes with all it stored."""
    name = f"shipshape-drill-{uuid.uuid4().hex[:12]}"
    environment = {
        "POSTGRES_USER": database.user,
        "POSTGRES_DB": MAINTENANCE,
        # There is no network to come from.
        "POSTGRES_HOST_AUTH_METHOD": "trust",
    }
    # Not the socket: the image starts a server for its own set-up, which listens there and nowhere else.
    ready = ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", database.user, "-d", MAINTENANCE]
    with contextlib.closing(_engine.EventStream(client, name)) as events:
        try:
            identity = _engine.run_isolated(client, image, name, environment, ready)
            deadline = time.monotonic() + min(timeout, 120)
            while (found := _engine.inspect(client, identity)) and found.health != "healthy":
                left = deadline - time.monotonic()
                if found.status != "running" or left <= 0:
                    raise StackError(
                        f"A container of {image} for the drill did not become ready.",
                        evidence=_engine.log_tail(client, identity, 15),
                        fix="Check that the image is on this host and that there is room for a second database.",
                    )
                events.next(left)
            if found is None:
                raise StackError("The container of the drill was removed by somebody else.", fix="Repeat the drill.")
            yield found
        finally:
            _engine.remove(client, name)


def _session(container: _engine.Container, database: _postgres.Database, name: str) -> _postgres.Session:
    return _postgres.Session(container.id, database.user, name, "shipshape restore")


def _drop(session: _postgres.Session, name: str) -> None:
    session.run(f"DROP DATABASE IF EXISTS {_name(name)} WITH (FORCE);")


def _make_roles(session: _postgres.Session, path: Path) -> None:
    """Make the roles that are missing, with their memberships; those that are there keep what they have."""
    if not path.is_file():
        raise StackError(
            f"The roles of the dump are missing: {path}.",
            fix="Bring all three files of the dump: .dump, .globals.sql and .json. Nothing was changed.",
        )
    known = set(session.query("SELECT json_agg(quote_ident(rolname)) FROM pg_roles"))
    role = r'("(?:[^"]|"")+"|[^\s;]+)'
    for line in path.read_text(encoding="utf-8").splitlines():
        made = re.match(rf"(?:CREATE|ALTER) ROLE {role}", line)
        granted = re.match(rf"GRANT {role} TO {role}", line)
        names = {made[1]} if made else {granted[1], granted[2]} if granted else set()
        if names - known:
            session.run(line)


def _check_room(client: t.Any, container: _engine.Container, session: _postgres.Session, size: int) -> None:
    """Raise StackError where a second database might not fit beside the first."""
    place = session.query("SELECT to_json(current_setting('data_directory'))")
    # POSIX: a line of titles, then the device, kilobytes in all, used, available.
    code, output = _engine.execute(client, container.id, ["df", "-Pk", place])
    if code != 0:
        raise StackError("How much room the database has cannot be seen.", evidence=output, fix="Try it by hand: df.")
    free = int(output.splitlines()[-1].split()[3]) * 1024
    if free < size:
        raise StackError(
            "There may not be room for a second database beside the live one.",
            evidence=f"{free // 1024**2} MiB are free where its data is; {size // 1024**2} MiB may be needed.",
            fix="Make room there, or drop what earlier restores have put aside. Nothing was changed.",
        )


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
