# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of compose_migrate, with a real PostgreSQL and a small Alembic project."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, Result, newest_image, probed, project

from ansible_collections.shipshape.stack.plugins.module_utils import _release

PASSWORD = "uQ7-vd2Lk0_pXz91"
ENV = """
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["TEST_DATABASE"]).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = {revision!r}, {down!r}, None, None


def upgrade():
    op.execute({statement!r})
"""
FIRST = ("1f0a", None, "CREATE TABLE item (id int)")
SECOND = ("2b3c", "1f0a", "ALTER TABLE item ADD COLUMN name text")
OTHER = ("3d4e", "1f0a", "CREATE TABLE other (id int)")
BROKEN = ("4f5a", "2b3c", "ALTER TABLE itme ADD COLUMN price int")
Revision = tuple[str, str | None, str]


@dataclass(frozen=True)
class Application:
    """A running database, and images of an application at several points of its history."""

    project: Project
    repository: str
    images: dict[str, str]

    def release(self, image: str, database: str) -> None:
        """Declare the application with one of its images and a database."""
        url = f"postgresql+psycopg://shop:{PASSWORD}@db/{database}"
        backend = {"image": self.images[image], "environment": {"TEST_DATABASE": url}, "stop_grace_period": "0s"}
        self.project.declare({"db": database_service(), "backend": backend})

    def migrate(self, database: str, *options: str, **arguments: t.Any) -> Result:
        given = {"database": database, "database_user": "shop", "timeout": 60}
        return self.project.run("compose_migrate", *options, **{**given, **arguments})

    def sql(self, database: str, statement: str) -> str:
        name = f"{self.project.name}-db-1"
        return docker("exec", name, "psql", "-X", "-A", "-t", "-U", "shop", "-d", database, "-c", statement)


def database_service() -> dict[str, t.Any]:
    ready = probed("pg_isready -h 127.0.0.1 -U shop", start_period="60s")
    return {
        "image": newest_image("shipshape/postgres"),
        "environment": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "shop"},
        "tmpfs": ["/var/lib/postgresql/data:uid=999,gid=999,mode=0700"],
        "stop_grace_period": "0s",
        **ready,
    }


def build(directory: Path, base: str, tag: str, revisions: tuple[Revision, ...]) -> str:
    """Build an image that holds these revisions."""
    versions = directory / tag.rsplit(":", 1)[1]
    (versions / "alembic/versions").mkdir(parents=True)
    (versions / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    (versions / "alembic/env.py").write_text(ENV)
    for revision, down, statement in revisions:
        text = REVISION.format(revision=revision, down=down, statement=statement)
        (versions / f"alembic/versions/{revision}.py").write_text(text)
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
            "broken": (FIRST, SECOND, BROKEN),
        }
        images = {
            name: build(directory, base, f"{it.name}/backend:{name}", revisions) for name, revisions in history.items()
        }
        it.declare({"db": database_service()})
        result = it.up(wait_timeout=60)
        assert not result.get("failed"), result.get("msg")
        yield Application(it, f"{it.name}/backend", images)


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
    assert checked["diff"] == {"before": "(empty)\n", "after": "2b3c\n"}
    assert application.sql(database, "SELECT to_regclass('item') IS NULL") == "t"

    done = application.migrate(database, "--diff", cache=cache)
    assert (done["changed"], done["before"], done["after"], done["diff"]) == (True, "", "2b3c", checked["diff"])
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
    assert result["evidence"] == "2b3c, 3d4e"
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
        other = Application(it, application.repository, application.images)
        other.release("good", "shop")
        assert other.migrate("shop", "--check")["changed"] is True
        assert it.containers() == {}
        result = other.migrate("shop")
        assert (result["changed"], result["before"], result["after"]) == (True, "", "2b3c")
        assert list(it.containers()) == [f"{it.name}-db-1"]


def test_image_that_is_not_here_is_named(application: Application, tmp_path: Path) -> None:
    with project(tmp_path) as it:
        it.declare({"backend": {"image": "shop/nowhere:1"}})
        result = it.run("compose_migrate", database="shop")
    assert result["cause"] == "The image shop/nowhere:1 is not on this host."


def test_migration_of_another_deploy_is_named_and_left_alone(application: Application, database: str) -> None:
    application.release("good", database)
    with running_migration(application) as name, _release.project_lock(application.project.name):
        result = application.migrate(database)
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
