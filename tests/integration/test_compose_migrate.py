# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of compose_migrate, with a real PostgreSQL and a small Alembic project."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import time
import typing as t
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, Result, begin_module, newest_image, probed, project

from ansible_collections.shipshape.stack.plugins.module_utils import _migration, _postgres, _release

PASSWORD = "uQ7-vd2Lk0_pXz91"
ENV = """
import os
from alembic import context
from sqlalchemy import create_engine

if context.is_offline_mode():
    context.configure(url=os.environ["TEST_DATABASE"], literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(os.environ["TEST_DATABASE"]).connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
"""
REVISION = """\"\"\"{message}\"\"\"
from alembic import op
revision, down_revision, branch_labels, depends_on = {revision!r}, {down!r}, None, None


def upgrade():
    {up}


def downgrade():
    {down_step}
"""


@dataclass(frozen=True)
class Revision:
    """A migration: where it comes from, what it does, and how that is undone."""

    id: str
    after: str | None
    up: str
    down: str = "pass"
    message: str = ""

    def text(self) -> str:
        names = {"revision": self.id, "down": self.after, "message": self.message}
        return REVISION.format(**names, up=self.up, down_step=self.down)


def sql(*statements: str) -> str:
    """Return the body of a migration that executes statements."""
    return "\n    ".join(f"op.execute({statement!r})" for statement in statements)


def autocommitted(*statements: str) -> str:
    """Return the body of a migration whose statements stay whatever comes after them."""
    lines = (f"    op.execute({statement!r})" for statement in statements)
    return "\n    ".join(["with op.get_context().autocommit_block():", *lines])


FIRST = Revision("1f0a", None, sql("CREATE TABLE item (id int)"), sql("DROP TABLE item"), "items")
SECOND = Revision(
    "2b3c",
    "1f0a",
    sql("ALTER TABLE item ADD COLUMN name text"),
    sql("ALTER TABLE item DROP COLUMN name"),
    "names of items",
)
OTHER = Revision("3d4e", "1f0a", sql("CREATE TABLE other (id int)"), message="others")
BROKEN = Revision("4f5a", "2b3c", sql("ALTER TABLE itme ADD COLUMN price int"))
HALF = Revision(
    "5a6b", "2b3c", autocommitted("CREATE INDEX CONCURRENTLY half ON item (id)") + "\n    " + sql("SELECT 1/0")
)
HARSH = Revision("6c7d", "2b3c", sql("ALTER TABLE item DROP COLUMN name", "DELETE FROM item WHERE id < 0"))
SLOW = Revision("7e8f", "2b3c", sql("LOCK TABLE item IN ACCESS EXCLUSIVE MODE", "SELECT pg_sleep(60)"))
BRIEF = Revision("8a9b", "2b3c", sql("SELECT pg_sleep(1)", "ALTER TABLE item ADD COLUMN brief int"))
WAITING = Revision("9b0c", "2b3c", sql("ALTER TABLE item ADD COLUMN waiting int"))
LAST = {"broken": BROKEN, "half": HALF, "harsh": HARSH, "slow": SLOW, "brief": BRIEF, "waiting": WAITING}


@dataclass(frozen=True)
class Application:
    """A running database, and images of an application at several points of its history."""

    project: Project
    repository: str
    images: dict[str, str]
    dumps: Path

    def release(self, image: str, database: str) -> None:
        """Declare the application with one of its images and a database."""
        url = f"postgresql+psycopg://shop:{PASSWORD}@db/{database}"
        backend = {"image": self.images[image], "environment": {"TEST_DATABASE": url}, "stop_grace_period": "0s"}
        self.project.declare({"db": database_service(), "backend": backend}, volumes={"data": {}})

    @property
    def database_container(self) -> str:
        return f"{self.project.name}-db-1"

    def begin(self, database: str, *options: str, **arguments: t.Any) -> subprocess.Popen[str]:
        """Start the module; ``options`` are ansible-playbook's --check and --diff."""
        given = {
            "project_src": str(self.project.directory),
            "database": database,
            "database_user": "shop",
            "timeout": 60,
            "dumps": str(self.dumps),
            "cache": str(self.dumps.parent / "known.json"),
            "_ansible_check_mode": "--check" in options,
            "_ansible_diff": "--diff" in options,
        }
        return begin_module("compose_migrate", {**given, **arguments})

    def migrate(self, database: str, *options: str, **arguments: t.Any) -> Result:
        """Run the module to its end."""
        return ended(self.begin(database, *options, **arguments))

    def sql(self, database: str, statement: str) -> str:
        name = self.database_container
        return docker("exec", name, "psql", "-X", "-A", "-t", "-U", "shop", "-d", database, "-c", statement)


def database_service() -> dict[str, t.Any]:
    ready = probed("pg_isready -h 127.0.0.1 -U shop", start_period="60s")
    return {
        "image": newest_image("shipshape/postgres"),
        "environment": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "shop"},
        "volumes": ["data:/var/lib/postgresql/data"],
        "stop_grace_period": "0s",
        **ready,
    }


def build(directory: Path, base: str, tag: str, revisions: tuple[Revision, ...]) -> str:
    """Build an image that holds these revisions."""
    versions = directory / tag.rsplit(":", 1)[1]
    (versions / "alembic/versions").mkdir(parents=True)
    (versions / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    (versions / "alembic/env.py").write_text(ENV)
    for revision in revisions:
        (versions / f"alembic/versions/{revision.id}.py").write_text(revision.text())
    dockerfile = f"FROM {base}\nWORKDIR /migrations\nCOPY . .\n"
    (versions / "Dockerfile").write_text(dockerfile)
    docker("buildx", "build", "--load", "--quiet", "--tag", tag, str(versions))
    return tag


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Application]:
    directory = tmp_path_factory.mktemp("application")
    (directory / "project").mkdir()
    with project(directory / "project") as it:
        base = newest_image("shop/backend")
        history = {
            "first": (FIRST,),
            "good": (FIRST, SECOND),
            "forked": (FIRST, SECOND, OTHER),
            **{name: (FIRST, SECOND, last) for name, last in LAST.items()},
        }
        images = {
            name: build(directory, base, f"{it.name}/backend:{name}", revisions) for name, revisions in history.items()
        }
        it.declare({"db": database_service()}, volumes={"data": {}})
        result = it.up(wait_timeout=60)
        assert not result.get("failed"), result.get("msg")
        (directory / "dumps").mkdir(mode=0o700)
        yield Application(it, f"{it.name}/backend", images, directory / "dumps")


@pytest.fixture
def database(application: Application) -> str:
    """An empty database of the test's own."""
    name = f"db_{uuid.uuid4().hex[:8]}"
    application.sql("shop", f"CREATE DATABASE {name}")
    return name


def test_empty_database_is_migrated_and_then_nothing_is_started(
    application: Application, database: str, tmp_path: Path
) -> None:
    cache = str(tmp_path / "heads.json")
    application.release("good", database)
    checked = application.migrate(database, "--check", "--diff", cache=cache)
    assert (checked["changed"], checked["before"], checked["after"]) == (True, "", "2b3c")
    assert checked["pending"] == [
        {"revision": "1f0a", "message": "items"},
        {"revision": "2b3c", "message": "names of items"},
    ]
    assert checked["diff"]["before"] == "(empty)\n"
    assert checked["diff"]["after"].startswith("2b3c\n")
    assert application.sql(database, "SELECT to_regclass('item') IS NULL") == "t"

    done = application.migrate(database, "--diff", cache=cache)
    assert (done["changed"], done["before"], done["after"]) == (True, "", "2b3c")
    assert done["pending"] == checked["pending"]
    assert application.sql(database, "SELECT name FROM item") == ""
    assert application.sql(database, "SELECT version_num FROM alembic_version") == "2b3c"

    since = time.time()
    again = application.migrate(database, cache=cache)
    until = time.time()
    assert (again["changed"], again["before"], again["after"]) == (False, "2b3c", "2b3c")
    assert started(application, since, until) == []


def test_only_what_is_pending_is_run(application: Application, database: str) -> None:
    application.release("first", database)
    assert application.migrate(database)["after"] == "1f0a"
    application.release("good", database)
    done = application.migrate(database)
    assert (done["changed"], done["before"], done["after"]) == (True, "1f0a", "2b3c")


def test_two_heads_are_refused_by_name_before_anything_runs(application: Application, database: str) -> None:
    application.release("forked", database)
    result = application.migrate(database)
    assert result["failed"]
    assert result["evidence"] == "2b3c: names of items\n3d4e: others"
    assert "alembic merge" in result["fix"]
    assert application.sql(database, "SELECT to_regclass('alembic_version') IS NULL") == "t"


def test_failed_migration_shows_its_log_and_where_the_database_was_and_is(
    application: Application, database: str
) -> None:
    application.release("first", database)
    application.migrate(database)
    application.release("broken", database)
    result = application.migrate(database)
    assert result["failed"]
    assert result["cause"] == "The migration failed; the running release was not touched."
    assert 'relation "itme" does not exist' in result["evidence"]
    assert "The database was at 1f0a and is at 2b3c now." in result["evidence"]
    assert result["fix"]
    assert PASSWORD not in result["msg"]


def test_database_that_does_not_run_is_brought_up_first(application: Application, tmp_path: Path) -> None:
    with project(tmp_path) as it:
        other = Application(it, application.repository, application.images, application.dumps)
        other.release("good", "shop")
        assert other.migrate("shop", "--check")["changed"] is True
        assert it.containers() == {}
        result = other.migrate("shop")
        assert (result["changed"], result["before"], result["after"]) == (True, "", "2b3c")
        assert list(it.containers()) == [f"{it.name}-db-1"]


def test_image_that_is_not_here_is_named(application: Application, tmp_path: Path) -> None:
    with project(tmp_path) as it:
        it.declare({"backend": {"image": "shop/nowhere:1"}})
        result = it.run("compose_migrate", database="shop", dump=False)
    assert result["cause"] == "The image shop/nowhere:1 is not on this host."


def test_migration_of_another_deploy_is_named_and_left_alone(application: Application, database: str) -> None:
    application.release("good", database)
    with running_migration(application) as name, _release.project_lock(application.project.name):
        result = application.migrate(database, lock_wait=1)
        assert docker("inspect", "--format", "{{.State.Running}}", name) == "true"
    assert result["cause"] == "Another deploy of this project is running on this host."
    assert f"pid {os.getpid()} on " in result["evidence"]


def test_leftover_of_a_killed_migration_is_not_in_the_way(application: Application, database: str) -> None:
    application.release("good", database)
    with running_migration(application):
        result = application.migrate(database)
    assert (result["changed"], result["after"]) == (True, "2b3c")


def test_migration_that_takes_too_long_is_ended(application: Application, database: str) -> None:
    application.release("good", database)
    result = application.migrate(database, command=["sleep", "60"], timeout=2)
    assert result["failed"]
    assert "did not end within 2 s" in result["cause"]
    assert docker("ps", "--all", "--quiet", "--filter", f"name={application.project.name}-migrate") == ""


def test_command_that_migrates_something_else_is_a_failure(application: Application, database: str) -> None:
    application.release("good", database)
    result = application.migrate(database, command=["true"])
    assert result["failed"]
    assert result["evidence"] == "It is at (empty), the head is 2b3c."


def started(application: Application, since: float, until: float) -> list[str]:
    """Return the containers of the application that were started in that time."""
    window = ("--since", f"{since:.6f}", "--until", f"{until:.6f}", "--filter", "event=start")
    found = docker("events", *window, "--format", "{{.Actor.Attributes.image}} {{.Actor.Attributes.name}}").splitlines()
    return [event for event in found if application.project.name in event]


@contextlib.contextmanager
def running_migration(application: Application) -> t.Iterator[str]:
    """A container under the name of the project's migration, as a deploy that was killed leaves it."""
    name = f"{application.project.name}-migrate"
    docker("run", "--detach", "--name", name, "--entrypoint", "sleep", application.images["good"], "600")
    try:
        yield name
    finally:
        docker("rm", "--force", name)


# The dump before the migration

NAMED = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'item' AND column_name = 'name'"


def test_verified_dump_is_taken_before_something_that_is_there_is_changed(
    application: Application, database: str
) -> None:
    application.release("first", database)
    assert "dump" not in application.migrate(database)
    application.sql(database, "INSERT INTO item SELECT generate_series(1, 1000)")
    application.release("good", database)
    dump = application.migrate(database)["dump"]
    assert (dump["kind"], dump["revision"], dump["database"]) == ("migration", "1f0a", database)
    assert dump["tables"] == {"public.alembic_version": 1, "public.item": 1000}
    file = application.dumps / f"{dump['name']}.dump"
    assert file.stat().st_size == dump["bytes"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(file.read_bytes()).hexdigest() == dump["sha256"]
    assert dump["seconds"] > 0
    # What it holds is the database as it was: no column that came with the migration.
    restored = f"{database}_restored"
    application.sql("shop", f"CREATE DATABASE {restored}")
    restore = ["docker", "exec", "-i", application.database_container, "pg_restore", "-U", "shop", "-d", restored]
    subprocess.run([*restore, "--exit-on-error"], stdin=file.open("rb"), check=True)
    assert application.sql(restored, "SELECT count(*) FROM item") == "1000"
    assert application.sql(restored, NAMED) == "0"


def test_dump_that_cannot_be_written_keeps_the_migration_from_running(
    application: Application, database: str, tmp_path: Path
) -> None:
    application.release("first", database)
    application.migrate(database)
    application.sql(database, "INSERT INTO item SELECT generate_series(1, 100000)")
    application.release("good", database)
    with small_filesystem(tmp_path, "1m") as full:
        before = application.migrate(database, dumps=str(full))
        assert list(full.iterdir()) == []
    assert before["cause"] == "There may not be room for a dump."
    assert str(tmp_path) in before["evidence"]
    assert before["fix"]
    assert application.sql(database, "SELECT version_num FROM alembic_version") == "1f0a"
    assert application.migrate(database)["after"] == "2b3c"


# What is refused


def test_database_ahead_of_the_image_is_refused_with_the_release_that_knew_it(
    application: Application, database: str, tmp_path: Path
) -> None:
    application.release("good", database)
    application.migrate(database)
    known = _release.Release(
        id="20260101T000000Z-0123456789",
        content_hash="",
        created="2026-01-01T00:00:00Z",
        created_by="",
        images={},
        outcome="deployed",
        revision="2b3c",
    )
    (tmp_path / "releases").mkdir()
    _release.stage(tmp_path, known, {}, uid=os.getuid(), gid=os.getgid())
    application.release("first", database)
    result = application.migrate(database, root=str(tmp_path))
    assert result["cause"] == "The database is ahead of this release."
    assert f"The image {application.images['first']} does not know 2b3c." in result["evidence"]
    assert "The release 20260101T000000Z-0123456789 was deployed with it." in result["evidence"]
    assert "-e release=20260101T000000Z-0123456789" in result["fix"]


def test_what_destroys_is_a_warning_and_a_refusal_where_that_is_asked_for(
    application: Application, database: str
) -> None:
    application.release("good", database)
    application.migrate(database)
    application.release("harsh", database)
    refused = application.migrate(database, allow_destructive=False)
    assert refused["cause"] == "The migration does what is not allowed; nothing was run."
    assert refused["evidence"].splitlines() == [
        "6c7d: drops a column: ALTER TABLE item DROP COLUMN name",
        "6c7d: deletes rows: DELETE FROM item WHERE id < 0",
    ]
    assert application.sql(database, "SELECT version_num FROM alembic_version") == "2b3c"
    shown = application.migrate(database, "--check", "--diff")
    assert "ALTER TABLE item DROP COLUMN name;" in shown["diff"]["after"]
    done = application.migrate(database)
    assert done["after"] == "6c7d"
    for result in (shown, done):
        assert "6c7d: drops a column: ALTER TABLE item DROP COLUMN name" in str(result["warnings"])


# The locks


def test_statement_that_waits_for_a_lock_gives_up_in_time(application: Application, database: str) -> None:
    application.release("good", database)
    application.migrate(database)
    application.release("waiting", database)
    with _postgres.Session(application.database_container, "shop", database) as reader:
        reader.run("BEGIN; LOCK TABLE item IN ACCESS SHARE MODE;")
        result = application.migrate(database, lock_timeout=1)
    assert "canceling statement due to lock timeout" in result["evidence"]
    assert "The database was at 2b3c and is at 2b3c now." in result["evidence"]
    assert application.migrate(database)["after"] == "9b0c"


def test_statement_that_takes_too_long_is_ended_by_the_server(application: Application, database: str) -> None:
    application.release("slow", database)
    result = application.migrate(database, statement_timeout=1)
    assert "canceling statement due to statement timeout" in result["evidence"]
    assert result["evidence"].splitlines()[-1] == "The database was at (empty) and is at 2b3c now."


def test_half_of_a_migration_that_stays_is_told_with_the_way_back(application: Application, database: str) -> None:
    application.release("good", database)
    application.migrate(database)
    application.sql(database, "INSERT INTO item SELECT generate_series(1, 1000)")
    application.release("half", database)
    result = application.migrate(database)
    assert "division by zero" in result["evidence"]
    assert "The database was at 2b3c and is at 2b3c now." in result["evidence"]
    assert application.sql(database, "SELECT count(*) FROM pg_class WHERE relname = 'half'") == "1"
    [dump] = [path.stem for path in application.dumps.glob(f"{database}-*-migration.dump")]
    assert f"Its dump from before is {dump} (" in result["evidence"]
    assert result["dump"]["name"] == dump
    for command in result["fix"].splitlines()[2:]:
        subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    assert application.sql(database, "SELECT count(*) FROM pg_class WHERE relname = 'half'") == "0"
    assert application.sql(database, "SELECT count(*) FROM item") == "1000"
    assert application.sql(f"{database}_replaced", "SELECT count(*) FROM pg_class WHERE relname = 'half'") == "1"


def test_second_migration_waits_for_the_first_and_finds_nothing_to_do(application: Application, database: str) -> None:
    application.release("good", database)
    application.migrate(database)
    application.release("brief", database)
    runs = [application.begin(database) for _run in range(2)]
    results = [ended(run) for run in runs]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert {result["after"] for result in results} == {"8a9b"}


def test_lock_in_the_database_is_waited_for_and_its_holder_named(application: Application, database: str) -> None:
    application.release("good", database)
    with _postgres.Session(application.database_container, "shop", database, "somebody else") as other:
        other.run(f"SELECT pg_advisory_lock({_migration.LOCK});")
        refused = application.migrate(database, lock_wait=1)
        waiting = application.begin(database)
        other.run(
            # Ends when the other one waits: an advisory lock that is not granted.
            "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
            " LOOP PERFORM pg_sleep(0.05); END LOOP; END $$;"
        )
        assert waiting.poll() is None
    assert refused["cause"] == f"Another migration of the database {database} is running."
    assert refused["evidence"].startswith("somebody else, since 20")
    assert ended(waiting)["after"] == "2b3c"


@pytest.mark.parametrize("victim", ["deployer", "migration", "PostgreSQL", "its connection"])
def test_next_run_converges_after_a_kill(application: Application, database: str, victim: str) -> None:
    application.release("good", database)
    application.migrate(database)
    application.sql(database, "INSERT INTO item SELECT generate_series(1, 1000)")
    application.release("slow", database)
    migrator = f"{application.project.name}-migrate"
    with _postgres.Session(application.database_container, "shop", database) as observer:
        first = application.begin(database)
        observer.run(
            "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
            " AND application_name = 'shipshape-migration' AND state = 'active')"
            " LOOP PERFORM pg_sleep(0.05); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$;"
        )
        [pid] = observer.run(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'"
            " AND application_name = 'shipshape-migration';"
        )
    if victim == "deployer":
        first.kill()
        first.communicate()
    elif victim == "its connection":
        # As the kernel does when memory runs out: PostgreSQL then drops all others and recovers.
        docker("exec", application.database_container, "sh", "-c", f"kill -9 {pid}")
        ended(first)
    elif victim == "migration":
        docker("kill", migrator)
        assert ended(first)["cause"] == "The migration failed; the running release was not touched."
    else:
        docker("kill", application.database_container)
        assert ended(first)["cause"] == "The migration failed; the running release was not touched."
        application.project.up(services=["db"], wait_timeout=60)
    application.release("brief", database)
    result = application.migrate(database)
    assert (result["changed"], result["before"], result["after"]) == (True, "2b3c", "8a9b")
    assert application.sql(database, "SELECT count(*) FROM item") == "1000"
    assert application.sql(database, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)%'") == "1"
    assert not list(application.dumps.glob("*.partial"))


# Down, other tools, initial data


def test_database_is_migrated_down_by_the_image_that_knows_how(application: Application, database: str) -> None:
    application.release("good", database)
    application.migrate(database)
    down = {"revision": "1f0a", "downgrade": True}
    checked = application.migrate(database, "--check", "--diff", **down)
    assert checked["pending"] == [{"revision": "2b3c", "message": "names of items"}]
    assert "ALTER TABLE item DROP COLUMN name" in checked["diff"]["after"]
    done = application.migrate(database, **down)
    assert (done["before"], done["after"], done["dump"]["kind"]) == ("2b3c", "1f0a", "downgrade")
    assert application.migrate(database, **down)["changed"] is False
    assert application.migrate(database)["after"] == "2b3c"


def test_migration_down_to_where_the_database_never_was_is_refused(application: Application, database: str) -> None:
    application.release("first", database)
    application.migrate(database)
    application.release("good", database)
    result = application.migrate(database, revision="2b3c", downgrade=True)
    assert result["cause"] == "The database cannot be migrated down to 2b3c."
    assert "It is at 1f0a" in result["evidence"]


def test_any_other_tool_gets_the_same_lock_and_dump(application: Application, database: str) -> None:
    application.release("good", database)
    application.sql(database, "CREATE TABLE version AS SELECT 1 AS number")
    python = "import os, sqlalchemy as s; c = s.create_engine(os.environ['TEST_DATABASE']).connect(); "
    step = python + "c.execute(s.text('UPDATE version SET number = 2')); c.commit()"
    other = {
        "tool": "other",
        "command": ["python", "-c", step],
        "revision_command": ["python", "-c", python + "print(c.scalar(s.text('SELECT number FROM version')))"],
    }
    done = application.migrate(database, **other)
    assert (done["changed"], done["before"], done["after"]) == (True, "1", "2")
    assert done["dump"]["tables"] == {"public.version": 1}
    again = application.migrate(database, **other)
    assert (again["changed"], again["before"], again["after"]) == (False, "2", "2")


def test_initial_data_comes_once_and_again_after_a_failure(
    application: Application, database: str, tmp_path: Path
) -> None:
    application.release("good", database)
    insert = (
        "import os, sqlalchemy as s; c = s.create_engine(os.environ['TEST_DATABASE']).connect(); "
        "c.execute(s.text('INSERT INTO item (id) VALUES (1)')); c.commit()"
    )
    cache = str(tmp_path / "cache.json")
    failed = application.migrate(database, cache=cache, initial_data=["python", "-c", "raise SystemExit('no')"])
    assert failed["cause"].startswith("The initial data could not be loaded; the database is migrated")
    assert failed["evidence"] == "no"
    runs = [application.migrate(database, cache=cache, initial_data=["python", "-c", insert]) for _run in range(2)]
    assert [run["changed"] for run in runs] == [True, False]
    assert application.sql(database, "SELECT count(*) FROM item") == "1"


def ended(process: subprocess.Popen[str]) -> Result:
    """Return the result of a module that was begun."""
    output, errors = process.communicate(timeout=120)
    assert output, errors
    return t.cast("Result", json.loads(output))


@contextlib.contextmanager
def small_filesystem(directory: Path, size: str) -> t.Iterator[Path]:
    """Yield a directory with room for little."""
    place = directory / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
