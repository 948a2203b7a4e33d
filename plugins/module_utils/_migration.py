# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conductor of `compose_migrate`: look, lock, dump, run, look again."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import typing as t
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _backup,
    _compose,
    _dumps,
    _engine,
    _hazards,
    _postgres,
    _release,
    _revision,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import write_atomically

CACHE_SIZE = 20
LOCK = 0x5348_4950_5348_4150
"""Key of the advisory lock; PostgreSQL keeps them apart by database."""
APPLICATION = "shipshape-migration"
"""What the connections of a migration are called, as far as its driver is built on libpq."""


@dataclass(frozen=True)
class Options:
    """The user's wishes; times are seconds.

    ``command`` empty means Alembic's own. ``revision`` is where Alembic leads: ``head``, or a revision. With
    ``other`` Alembic is not asked, and ``revision_command`` prints what stands for a revision.
    """

    service: str
    database: _postgres.Database
    command: tuple[str, ...] = ()
    revision: str = _revision.HEAD
    downgrade: bool = False
    other: bool = False
    revision_command: tuple[str, ...] = ()
    initial_data: tuple[str, ...] = ()
    cache: Path | None = None
    dumps: Path | None = None
    root: Path | None = None
    allow_destructive: bool = True
    timeout: float = 600.0
    lock_wait: float = 300.0
    lock_timeout: float = 10.0
    statement_timeout: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a migration came to; ``sql`` is there where it was asked for."""

    before: str
    after: str
    changed: bool
    pending: tuple[_revision.Revision, ...] = ()
    warnings: tuple[str, ...] = ()
    sql: str = ""
    dump: _dumps.Dump | None = None
    output: str = ""


@dataclass
class Cache:
    """What is known of images, by their ids, and which initial data is in which cluster. A file, or nothing."""

    path: Path | None
    images: dict[str, t.Any] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)

    def write(self) -> None:
        if self.path is not None:
            newest = dict(list(self.images.items())[-CACHE_SIZE:])
            text = json.dumps({"images": newest, "data": self.data[-CACHE_SIZE:]}, indent=2)
            write_atomically(self.path, text + "\n")


def open_cache(path: Path | None) -> Cache:
    """Return the cache of a file; nothing is lost with one that cannot be read: images are looked at again."""
    cache = Cache(path)
    if path is not None and path.is_file():
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            known = json.loads(path.read_text(encoding="utf-8"))
            cache.images, cache.data = dict(known.get("images") or {}), list(known.get("data") or [])
    return cache


def history(client: t.Any, image: str, path: Path | None) -> _revision.History:
    """Return what an image knows of revisions. It never changes for an image id, so it is looked up once."""
    image_id = _engine.image_id(client, image)
    if image_id is None:
        raise StackError(f"The image {image} is not on this host.", fix="Build or pull it before migrating.")
    cache = open_cache(path)
    if image_id not in cache.images:
        code, output = _engine.run_once(client, image, ["alembic", "history"])
        if code != 0:
            raise StackError(
                f"`alembic history` failed in the image {image}.",
                evidence="\n".join(output.strip().splitlines()[-10:]),
                fix="Check that the image holds alembic, alembic.ini and the versions directory.",
            )
        found = _revision.parse_history(output)
        cache.images[image_id] = [found.heads, [asdict(item) for item in found.revisions.values()]]
        cache.write()
        return found
    heads, revisions = cache.images[image_id]
    known = (_revision.Revision(item["id"], tuple(item["parents"]), item["message"]) for item in revisions)
    return _revision.History(tuple(heads), {item.id: item for item in known})


def revisions(client: t.Any, project: str, database: _postgres.Database) -> tuple[str, ...]:
    """Return the revisions a running database is at."""
    container = _postgres.running(client, project, database)
    with _postgres.Session(container.id, database.user, database.name) as session:
        return _postgres.state(session).revisions


class MigrationError(StackError):
    """A migration that failed; ``dump`` is from before, if one was taken."""

    def __init__(self, cause: str, *, evidence: str, fix: str, dump: _dumps.Dump | None) -> None:
        super().__init__(cause, evidence=evidence, fix=fix)
        self._dump = dump

    def result(self) -> dict[str, t.Any]:
        """Return the keyword arguments for ``fail_json``, with the dump."""
        return {**super().result(), **({"dump": asdict(self._dump)} if self._dump else {})}


class Migration:
    """One migration of one database. ``look`` changes nothing; ``run`` does what it found."""

    def __init__(
        self,
        client: t.Any,
        project: _compose.Project,
        model: t.Mapping[str, t.Any],
        options: Options,
        say: t.Callable[[str], None],
    ) -> None:
        self._client, self._project, self._options, self._say = client, project, options, say
        self._name = str(model["name"])
        self._services: t.Mapping[str, t.Any] = model["services"]
        self._service = self._services[options.service]
        self._image = str(self._service.get("image") or f"{self._name}-{options.service}")
        self._container = _postgres.running(client, self._name, options.database)
        self._history: _revision.History | None = None

    def look(self, *, sql: bool) -> Outcome:
        """Return what a run would do, or raise as it would.

        With ``sql`` also the statements, as far as they can be had without running.
        """
        with self._session() as session:
            state = _postgres.state(session)
            found = self._look(state, sql=sql or not self._options.allow_destructive)
            self._refuse_destructive(found)
            return replace(found, changed=found.changed or self._data_is_due(state))

    def run(self) -> Outcome:
        """Migrate unless there is nothing to do. Raises StackError that says where the database is now."""
        with self._session() as session:
            found = self._look(_postgres.state(session), sql=False)
            if not found.changed and not self._data_is_due(_postgres.state(session)):
                return found
            with _release.project_lock(self._name, wait=self._options.lock_wait):
                self._lock(session)
                self._end_leftovers(session)
                # The holder before us may have done it.
                found = self._look(_postgres.state(session), sql=True)
                if found.changed:
                    self._refuse_destructive(found)
                    found = self._migrate(session, found)
                loaded = self._load_data(session)
                return replace(found, changed=found.changed or loaded)

    def _session(self) -> _postgres.Session:
        who = f"shipshape {getpass.getuser()}@{socket.gethostname()} pid {os.getpid()}"
        database = self._options.database
        return _postgres.Session(self._container.id, database.user, database.name, who)

    # Look

    def _look(self, state: _postgres.State, *, sql: bool) -> Outcome:
        if self._options.other:
            before = self._ask_revision()
            words = "What the command does cannot be told without running it."
            return Outcome(before, "", changed=True, warnings=() if self._options.allow_destructive else (words,))
        known = self._known()
        head = _revision.only_head(known) if self._options.revision == _revision.HEAD else self._options.revision
        before = ",".join(state.revisions)
        if head and _revision.unknown(known, [head]):
            raise StackError(
                f"The image {self._image} has no revision {head}.",
                evidence=f"Its heads are: {', '.join(known.heads)}.",
                fix="Write it out as `alembic history` shows it.",
            )
        strange = _revision.unknown(known, state.revisions)
        if strange:
            raise self._ahead(strange)
        if self._options.downgrade:
            way = _revision.undone(known, state.revisions, head)
        else:
            way = _revision.pending(known, state.revisions, head)
        if not way:
            return Outcome(before, before, changed=False)
        outcome = Outcome(before, head, changed=True, pending=tuple(way))
        if not sql:
            return outcome
        script, complaint = self._script(before, head)
        warnings = [str(item) for item in _hazards.hazards(script)]
        if complaint and not self._options.allow_destructive:
            warnings.append(f"The SQL of the migration cannot be had without running it: {complaint}")
        return replace(outcome, sql=script or f"-- {complaint}", warnings=tuple(warnings))

    def _known(self) -> _revision.History:
        if self._history is None:
            self._history = history(self._client, self._image, self._options.cache)
        return self._history

    def _ahead(self, strange: t.Sequence[str]) -> StackError:
        """Explain that the database is at a revision that the image does not have."""
        root = self._options.root
        releases = _release.listed(root) if root and (root / "releases").is_dir() else []
        knew = [
            item.id for item in releases if item.outcome == "deployed" and set(strange) & {*item.revision.split(",")}
        ]
        lines = [f"The image {self._image} does not know {', '.join(strange)}."]
        lines += [f"The release {item} was deployed with it." for item in knew[:1]]
        fix = "Deploy the code that has this revision, or one that is newer."
        if knew:
            fix = f"{fix} `playbooks/rollback.yml -e release={knew[0]}` goes back to that release."
        return StackError("The database is ahead of this release.", evidence="\n".join(lines), fix=fix)

    def _script(self, before: str, head: str) -> tuple[str, str]:
        """Return the SQL between two revisions as Alembic would send it, and why it could not be had."""
        if self._options.command:
            return "", "the command is the user's own"
        verb = "downgrade" if self._options.downgrade else "upgrade"
        span = f"{before or 'base'}:{head or 'base'}"
        if "," in before:
            return "", "the database is at several revisions"
        done = _compose.run(
            self._argv(["alembic", verb, span, "--sql"]), cwd=self._project.directory, timeout=self._options.timeout
        )
        if done.returncode == 0:
            return done.stdout.strip(), ""
        return "", done.tail(1)

    def _refuse_destructive(self, found: Outcome) -> None:
        if found.warnings and not self._options.allow_destructive:
            raise StackError(
                "The migration does what is not allowed; nothing was run.",
                evidence="\n".join(found.warnings),
                fix="Split it (expand now, contract when no old code runs), or set `allow_destructive: true`.",
            )

    # Run

    def _lock(self, session: _postgres.Session) -> None:
        """Take the lock in the database; the session holds it, so it is free when we are gone."""
        # 0 would be no limit.
        wait = max(self._options.lock_wait, 0.001)
        try:
            session.run(f"SET lock_timeout = {int(wait * 1000)}; SELECT pg_advisory_lock({LOCK});", wait + 30)
        except _postgres.ServerError as error:
            if error.code != "55P03":
                raise
            raise StackError(
                f"Another migration of the database {self._options.database.name} is running.",
                evidence=self._holder(),
                fix=f"Wait until it ends: this one waited {wait:g} s. If it hangs, end the process named above.",
            ) from error
        session.run("RESET lock_timeout;")

    def _holder(self) -> str:
        with self._session() as session:
            lines = session.query(
                "SELECT coalesce(json_agg(format('%s, since %s', a.application_name, a.backend_start)), '[]')"
                " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
                f" AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                f" AND ((l.classid::bigint << 32) | l.objid::bigint) = {LOCK}"
            )
        return "\n".join(lines) or "Its holder has ended meanwhile."

    def _migrate(self, session: _postgres.Session, found: Outcome) -> Outcome:
        options = self._options
        dump = None
        # The very first migration has nothing to lose.
        if options.dumps is not None and (found.before or _postgres.count_rows(session, options.timeout)):
            self._say(f"{options.database.service}: dumping {options.database.name} before the migration")
            kind = "downgrade" if options.downgrade else "migration"
            dump = _backup.make(
                self._container, session, options.database, options.dumps, kind=kind, timeout=options.timeout
            )
            self._say(f"{options.database.service}: {dump.bytes} bytes in {dump.seconds:g} s, verified: {dump.name}")
        for warning in found.warnings:
            self._say(f"migrate: {warning}")
        try:
            output = self._execute(self._command(found.after))
        except StackError as error:
            raise self._failed(error, found.before, dump) from error
        reached = self._ask_revision() if options.other else ",".join(_postgres.state(session).revisions)
        if not options.other and reached != found.after:
            raise StackError(
                "The migration ended without error, but the database is not at the head of the release.",
                evidence=f"It is at {reached or '(empty)'}, the head is {found.after or '(empty)'}.",
                fix="Check that `command` migrates the database that `database` names.",
            )
        changed = not options.revision_command or reached != found.before
        return replace(found, after=reached, changed=changed, dump=dump, output=output)

    def _command(self, head: str) -> list[str]:
        if self._options.command:
            return list(self._options.command)
        return ["alembic", "downgrade" if self._options.downgrade else "upgrade", head or "base"]

    def _end_leftovers(self, session: _postgres.Session) -> None:
        """End the migration of a run that was killed, and its dump: the lock is ours, so its holder is gone."""
        _engine.remove(self._client, self._migrator)
        session.run(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
            " WHERE datname = current_database()"
            f" AND application_name IN ('{APPLICATION}', '{_backup.application('migration')}',"
            f" '{_backup.application('downgrade')}');"
        )

    @property
    def _migrator(self) -> str:
        return f"{self._name}-migrate"

    def _argv(self, command: t.Sequence[str], name: str = "") -> list[str]:
        environment = self._service.get("environment") or {}
        own = [str(environment.get("PGOPTIONS") or ""), f"-c lock_timeout={self._options.lock_timeout:g}s"]
        own.append(f"-c statement_timeout={self._options.statement_timeout:g}s")
        variables = {"PGOPTIONS": " ".join(own).strip(), "PGAPPNAME": APPLICATION}
        return _compose.run_argv(self._project, self._options.service, name, command, variables)

    def _execute(self, command: t.Sequence[str]) -> str:
        """Run a command once in a container of the new image and return its output, said line by line as it comes."""
        name = self._migrator
        try:
            done = _compose.run_aloud(
                self._argv(command, name),
                lambda line: self._say(f"migrate: {line}"),
                cwd=self._project.directory,
                timeout=self._options.timeout,
            )
        finally:
            _engine.remove(self._client, name)
        if done.returncode != 0:
            raise StackError(
                "The migration failed; the running release was not touched.",
                evidence="\n".join((done.stdout + done.stderr).strip().splitlines()[-20:]),
                fix="Correct the revision named above and deploy again.",
            )
        return done.stdout + done.stderr

    def _failed(self, error: StackError, before: str, dump: _dumps.Dump | None) -> StackError:
        """Add where the database was and is, and the way back."""
        try:
            with self._session() as session:
                self._end_leftovers(session)
                reached = ",".join(_postgres.state(session).revisions)
            where = f"The database was at {before or '(empty)'} and is at {reached or '(empty)'} now."
        except StackError as second:
            where = f"The database was at {before or '(empty)'}; where it is now cannot be read: {second.evidence}"
        lines = [error.evidence, where] if not self._options.other else [error.evidence]
        fix = error.fix
        if dump is not None:
            lines.append(f"Its dump from before is {dump.name} ({dump.bytes} bytes, {dump.seconds:g} s).")
            fix += f"\nTo have the data as it was before (what is there now stays beside it):\n{self._way_back(dump)}"
        return MigrationError(error.cause, evidence="\n".join(lines), fix=fix, dump=dump)

    def _way_back(self, dump: _dumps.Dump) -> str:
        """Return the commands that put a dump in the place of the database, which is kept under another name."""
        database, inside = self._options.database, f"docker exec {self._container.name}"
        path = (self._options.dumps or Path()) / f"{dump.name}{_dumps.DATA}"
        users = [
            name for name, service in self._services.items() if database.service in (service.get("depends_on") or {})
        ]
        compose = f"docker compose --project-directory {self._project.directory}"
        beside, kept = f"{database.name}_restored", f"{database.name}_replaced"
        swap = "; ".join(
            f'ALTER DATABASE "{old}" RENAME TO "{new}"' for old, new in ((database.name, kept), (beside, database.name))
        )
        restore = f"pg_restore -U {database.user} -d {beside} --exit-on-error"
        return "\n".join(
            [
                f"  {inside} createdb -U {database.user} {beside}",
                f"  docker exec -i {self._container.name} {restore} < {path}",
                *([f"  {compose} stop {' '.join(users)}"] if users else []),
                f"  {inside} psql -U {database.user} -d postgres -c '{swap}'",
                *([f"  {compose} start {' '.join(users)}"] if users else []),
            ]
        )

    def _ask_revision(self) -> str:
        """Return what the user's own command says of the revision."""
        if not self._options.revision_command:
            return ""
        argv = self._argv(self._options.revision_command)
        done = _compose.run(argv, cwd=self._project.directory, timeout=self._options.timeout)
        if done.returncode != 0:
            raise StackError(
                "The command that tells the revision failed.", evidence=done.tail(), fix="Correct `revision_command`."
            )
        return done.stdout.strip()

    # Initial data

    def _data_is_due(self, state: _postgres.State) -> bool:
        return bool(self._options.initial_data) and self._data_key(state) not in open_cache(self._options.cache).data

    def _data_key(self, state: _postgres.State) -> str:
        image = _engine.image_id(self._client, self._image)
        return _release.content_hash(
            {
                "cluster": state.identity,
                "database": self._options.database.name,
                "image": image or "",
                "command": json.dumps(self._options.initial_data),
            }
        )

    def _load_data(self, session: _postgres.Session) -> bool:
        """Run the command that puts the initial data in, once for each image and cluster; return whether it ran."""
        state = _postgres.state(session)
        if not self._data_is_due(state):
            return False
        self._say("migrate: initial data")
        try:
            self._execute(self._options.initial_data)
        except StackError as error:
            raise StackError(
                "The initial data could not be loaded; the database is migrated, the running release was not touched.",
                evidence=error.evidence,
                fix="Correct the command of `initial_data`, which has to bear repetition, and deploy again.",
            ) from error
        cache = open_cache(self._options.cache)
        cache.data.append(self._data_key(state))
        cache.write()
        return True
