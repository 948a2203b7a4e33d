# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that talks to PostgreSQL: through `docker exec`, with the programs of its own image.

No password is needed and no port: the programs use the socket in the container. ``psql``, ``pg_dump`` and
``pg_restore`` of the server's own version are always the right ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.shipshape.stack.plugins.module_utils import _engine
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

CHUNK = 1024 * 1024
_END = "shipshape-end-of-answer"


@dataclass(frozen=True)
class Database:
    """The service that runs PostgreSQL, and the names in it."""

    service: str
    user: str
    name: str


@dataclass(frozen=True)
class State:
    """What a database says of itself: ``identity`` is its cluster's, ``size`` is in bytes, ``version`` the server's.

    ``revisions`` is what Alembic wrote down; empty where it never migrated.
    """

    identity: str
    version: str
    size: int
    revisions: tuple[str, ...]


def is_ready(client: t.Any, project: str, database: Database) -> bool:
    """Return whether the database runs and is not unhealthy or still starting."""
    own = _engine.containers(client, project, database.service)
    return any(item.status == "running" and item.health in ("none", "healthy") for item in own)


def running(client: t.Any, project: str, database: Database) -> _engine.Container:
    """Return the container of a database that runs. Raises StackError where none does."""
    own = _engine.containers(client, project, database.service)
    found = next((item for item in own if item.status == "running"), None)
    if found is None:
        raise StackError(
            f"The database service {database.service} does not run.",
            evidence=f"Its container is {own[0].status if own else 'missing'}.",
            fix="Bring it up first: shipshape.stack.compose_up with `services`.",
        )
    return found


class Session:
    """A connection that is held open: what it locks and what it sees stays so until ``close``, or until we are killed.

    Statements must return one column of text without line breaks: JSON does for everything.
    """

    def __init__(self, container_id: str, user: str, database: str, application: str = "shipshape") -> None:
        psql = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]
        # PostgreSQL cuts a longer name.
        name = f"PGAPPNAME={application[:63]}"
        argv = ["docker", "exec", "--interactive", "--env", name, container_id, *psql, "-U", user, "-d", database]
        self._database = database
        self._process = _start(argv, stdin=subprocess.PIPE)
        self._buffer = b""
        # A limit of the role or the server would end what is held, or the wait for it.
        self.run(
            "SET client_min_messages = error; SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN"
            " ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'transaction_timeout',"
            " 'idle_in_transaction_session_timeout');"
        )

    def run(self, statements: str, timeout: float = 60.0) -> list[str]:
        """Run statements and return the lines of their answers; ``timeout`` is in seconds.

        Raises StackError with the server's word. After that the session is over, and a transaction with it.
        """
        pipe = self._process.stdin
        if pipe is None or self._process.poll() is not None:
            raise self._broken("")
        try:
            pipe.write(f"{statements}\n\\echo {_END}\n".encode())
            pipe.flush()
        except BrokenPipeError:
            raise self._broken("") from None
        return self._answer(time.monotonic() + timeout)

    def query(self, statement: str, timeout: float = 60.0) -> t.Any:
        """Run a statement that returns one JSON value; return it, or None where there is no row."""
        lines = self.run(f"{statement};", timeout)
        return json.loads(lines[0]) if lines and lines[0] else None

    def close(self) -> None:
        """End the connection; what it held is free."""
        if self._process.stdin is not None:
            # What could not be written to a psql that has ended is tried once more.
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _answer(self, deadline: float) -> list[str]:
        stream = self._process.stdout
        lines: list[str] = []
        while stream is not None:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                if line == _END.encode():
                    return lines
                lines.append(line.decode(errors="replace"))
                continue
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                self._process.kill()
                raise self._broken("It did not answer in time.")
            part = os.read(stream.fileno(), CHUNK)
            if not part:
                break
            self._buffer += part
        raise self._broken("")

    def _broken(self, words: str) -> StackError:
        self._process.wait()
        stderr = self._process.stderr
        said = stderr.read().decode(errors="replace") if stderr is not None and not stderr.closed else ""
        return ServerError(
            f"PostgreSQL did not do what it was asked for in the database {self._database}.",
            evidence="\n".join(line for line in (words, *said.strip().splitlines()[-6:]) if line),
            fix="Read the log of the database service; when it runs again, repeat this: nothing was left half done.",
        )


class ServerError(StackError):
    """What PostgreSQL itself refused, or a connection that broke."""

    @property
    def code(self) -> str:
        """Return the SQLSTATE, as ``55P03``, or nothing. PostgreSQL documentation: appendix A."""
        words = next((line for line in self.evidence.splitlines() if line.startswith("ERROR:")), "").split()
        return words[1].rstrip(":") if len(words) > 1 else ""


def state(session: Session) -> State:
    """Return what the database says of itself."""
    told = session.query(
        "SELECT json_build_object('identity', (SELECT system_identifier::text FROM pg_control_system()),"
        " 'version', current_setting('server_version'), 'size', pg_database_size(current_database()),"
        " 'migrated', to_regclass('alembic_version') IS NOT NULL)"
    )
    revisions: list[str] = []
    if told.pop("migrated"):
        revisions = session.query("SELECT coalesce(json_agg(version_num ORDER BY 1), '[]') FROM alembic_version")
    return State(**told, revisions=tuple(revisions))


def count_rows(session: Session, timeout: float) -> dict[str, int]:
    """Return table -> number of rows, as the transaction of the session sees them."""
    names = session.query(
        "SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname) ORDER BY 1), '[]')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'"
        # What belongs to an extension comes with it.
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"
    )
    return {name: int(session.query(f"SELECT to_json(count(*)) FROM {name}", timeout)) for name in names}


@dataclass(frozen=True)
class Written:
    """A stream that ended: ``bytes`` and SHA-256 of what came, and what the program said besides."""

    bytes: int
    sha256: str
    said: str


def read_from(
    container_id: str, argv: t.Sequence[str], into: t.BinaryIO, *, timeout: float, application: str = "shipshape"
) -> Written:
    """Write the standard output of a program in a container to a file. Raises StackError unless it exits with 0.

    ``application`` is what its connection is called: the program outlives us, so somebody has to be able to end it.
    """
    deadline, digest, size = time.monotonic() + timeout, hashlib.sha256(), 0
    name = f"PGAPPNAME={application}"
    process = _start(["docker", "exec", "--env", name, container_id, *argv], stdin=subprocess.DEVNULL)
    with process:
        stdout, stderr = process.stdout, process.stderr
        if stdout is None or stderr is None:
            raise AssertionError("both are pipes")
        said = b""
        streams = [stdout, stderr]
        try:
            while streams:
                left = deadline - time.monotonic()
                ready = select.select(streams, [], [], left)[0] if left > 0 else []
                if not ready:
                    raise _too_slow(argv, timeout)
                for stream in ready:
                    part = os.read(stream.fileno(), CHUNK)
                    if not part:
                        streams.remove(stream)
                    elif stream is stderr:
                        said = (said + part)[-CHUNK:]
                    else:
                        into.write(part)
                        digest.update(part)
                        size += len(part)
        except BaseException:
            process.kill()
            raise
    _check(argv, process.returncode, said)
    return Written(size, digest.hexdigest(), said.decode(errors="replace"))


def write_to(container_id: str, argv: t.Sequence[str], source: t.BinaryIO, *, timeout: float) -> str:
    """Give a file to a program in a container as its standard input; return what it wrote, the last of it.

    Raises StackError unless it exits with 0.
    """
    process = _start(["docker", "exec", "--interactive", container_id, *argv], stdin=source)
    try:
        output, said = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise _too_slow(argv, timeout) from None
    except BaseException:
        process.kill()
        raise
    _check(argv, process.returncode, said or output)
    return str(output.decode(errors="replace"))


def _start(argv: t.Sequence[str], stdin: t.Any) -> subprocess.Popen[bytes]:
    try:
        # Streams of any size and a connection that stays open: run_command knows neither.
        return subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            list(argv), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise StackError(
            f"The command {argv[0]!r} was not found on this host.",
            evidence=str(error),
            fix="Apply the role shipshape.stack.docker_engine first.",
        ) from error


def _check(argv: t.Sequence[str], code: int, said: bytes) -> None:
    if code != 0:
        raise StackError(
            f"{argv[0]} failed.",
            evidence="\n".join([f"exit code {code}", *said.decode(errors="replace").strip().splitlines()[-10:]]),
            fix="Read the line above; the log of the database service may say more.",
        )


def _too_slow(argv: t.Sequence[str], timeout: float) -> StackError:
    return StackError(
        f"{argv[0]} did not end within {timeout:g} s.", fix="Raise the timeout if the database is merely large."
    )
