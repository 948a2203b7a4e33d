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
        _check_room(client, container, session, int(size))
        _drop(session, fresh.name)
        _make_roles(session, directory / f"{dump.name}{_dumps.GLOBALS}")
        session.run(
            f"CREATE DATABASE {_name(fresh.name)} TEMPLATE template0 OWNER {_name(database.user)}"
            # Collations as they are: indexes and comparisons of the application depend on them.
            f" ENCODING {_literal(_setting(session, database.name, 'pg_encoding_to_char(encoding)'))}"
            f" LC_COLLATE {_literal(_setting(session, database.name, 'datcollate'))}"
            f" LC_CTYPE {_literal(_setting(session, database.name, 'datctype'))};",
            timeout,
        )
        try:
            fill(container, fresh, dump, directory, timeout)
            proof = prove(container, fresh, dump, timeout)
        except BaseException:
            _drop(session, fresh.name)
            raise
    return replace(proof, seconds=round(time.monotonic() - begun, 2))


def swap(container: _engine.Container, database: _postgres.Database, moment: str) -> str:
    """Give the restored database the name of the live one, in one transaction; return what the live one is called now.

    Nothing may be connected to the live one but what can be ended.
    """
    kept = f"{database.name}{REPLACED}{moment}"
    with _session(container, database, MAINTENANCE) as session:
        session.run(
            f"SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname ="
            f" {_literal(database.name)} AND pid <> pg_backend_pid();"
            f" BEGIN; ALTER DATABASE {_name(database.name)} RENAME TO {_name(kept)};"
            f" ALTER DATABASE {_name(database.name + BESIDE)} RENAME TO {_name(database.name)}; COMMIT;"
        )
    return kept


def replaced(container: _engine.Container, database: _postgres.Database) -> list[str]:
    """Return the databases that earlier restores have put aside, the oldest first."""
    with _session(container, database, MAINTENANCE) as session:
        pattern = _literal(f"^{re.escape(database.name + REPLACED)}[0-9TZ]+$")
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


def fill(
    container: _engine.Container, database: _postgres.Database, dump: _dumps.Dump, directory: Path, timeout: float
) -> None:
    """Restore a dump into an empty database."""
    argv = ["pg_restore", "-U", database.user, "-d", database.name, "--exit-on-error", "--no-password"]
    with (directory / f"{dump.name}{_dumps.DATA}").open("rb") as stream:
        _postgres.write_to(container.id, argv, stream, timeout=timeout)
    with _session(container, database, database.name) as session:
        # Without statistics the first queries would be planned blindly.
        session.run("ANALYZE;", timeout)


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
    with _throwaway(client, dump.image, database, timeout) as container:
        with _session(container, database, MAINTENANCE) as session:
            _make_roles(session, directory / f"{dump.name}{_dumps.GLOBALS}")
        fill(container, database, dump, directory, timeout)
        proof = prove(container, database, dump, timeout)
    return replace(proof, seconds=round(time.monotonic() - begun, 2))


@contextlib.contextmanager
def _throwaway(
    client: t.Any, image: str, database: _postgres.Database, timeout: float
) -> t.Iterator[_engine.Container]:
    """Yield a PostgreSQL that is empty but for its database, without a network; it goes with all it stored."""
    name = f"shipshape-drill-{uuid.uuid4().hex[:12]}"
    environment = {
        "POSTGRES_USER": database.user,
        "POSTGRES_DB": database.name,
        # There is no network to come from.
        "POSTGRES_HOST_AUTH_METHOD": "trust",
    }
    # Not the socket: the image starts a server for its own set-up, which listens there and nowhere else.
    ready = ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", database.user, "-d", database.name]
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
    """Make the roles that are missing, as they were; those that are there keep their password."""
    if not path.is_file():
        return
    known = set(session.query("SELECT json_agg(quote_ident(rolname)) FROM pg_roles"))
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r'(?:CREATE|ALTER) ROLE ("(?:[^"]|"")+"|\S+?)[ ;]', line)
        if match and match[1] not in known:
            session.run(line)


def _setting(session: _postgres.Session, database: str, expression: str) -> str:
    return str(session.query(f"SELECT to_json({expression}) FROM pg_database WHERE datname = {_literal(database)}"))


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
