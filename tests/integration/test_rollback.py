# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of `playbooks/rollback.yml`, and of a deploy of some services, on a stack of the tests' own."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import typing as t
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Result, run_module
from playbook import LOCAL, REPOSITORY, Outcome, run_play

SITE = "Version(version=settings.app_version"
MIGRATION = '''"""A table more."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table("coupons", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("coupons")
'''


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass(frozen=True)
class Stack:
    """A stack of the example in /srv, without worker, and the source it is made of."""

    name: str
    source: Path
    http_port: int
    https_port: int

    @property
    def root(self) -> Path:
        return Path("/srv", self.name)

    def play(self, playbook: str, *options: str, **variables: t.Any) -> Outcome:
        """Run one of the playbooks on it."""
        declared: dict[str, t.Any] = {
            "stack_name": self.name,
            "stack_domain": "localhost",
            "stack_source": str(self.source),
            "stack_http_port": self.http_port,
            "stack_https_port": self.https_port,
            "stack_services": {"worker": {"enabled": False}, "backend": {"health_path": "/health/ready"}},
            "docker_engine_manage_daemon_json": False,
            "base_images_nginx_check_valid_until": False,
        }
        path = REPOSITORY / "playbooks" / f"{playbook}.yml"
        return run_play(path, hosts={"localhost": LOCAL}, options=options, extra_vars=declared | variables)

    def deploy(self, version: str, **variables: t.Any) -> str:
        """Deploy a version of the backend and return the id of the release."""
        self.write_version(version)
        outcome = self.play("deploy", **variables)
        assert outcome.returncode == 0
        return self.current()

    def write_version(self, version: str) -> None:
        original = REPOSITORY / "examples/monorepo/apps/backend/app/main.py"
        text = original.read_text()
        assert SITE in text
        (self.source / "apps/backend/app/main.py").write_text(text.replace(SITE, f'Version(version="{version}"'))

    def write_frontend(self, text: str) -> None:
        (self.source / "apps/frontend/public/version.txt").write_text(text)

    def current(self) -> str:
        return (self.root / "current").resolve().name

    def get(self, path: str) -> str:
        """GET over https, verified against the stack's own CA."""
        trust = ssl.create_default_context(cafile=str(self.root / "tls/ca/ca.pem"))
        with urllib.request.urlopen(f"https://localhost:{self.https_port}{path}", context=trust, timeout=10) as answer:
            return str(answer.read().decode())

    def version(self) -> str:
        return str(json.loads(self.get("/api/version"))["version"])

    def containers(self) -> dict[str, str]:
        """Return the ids of the containers by service."""
        label = f"label=com.docker.compose.project={self.name}"
        form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
        return dict(line.split() for line in docker("ps", "--filter", label, "--format", form).splitlines())

    def releases(self) -> dict[str, dict[str, t.Any]]:
        found: Result = run_module("release_info", root=str(self.root))
        return {release["id"]: release for release in found["releases"]}

    @property
    def database(self) -> str:
        return self.name.replace("-", "_")

    def sql(self, statement: str, database: str = "") -> str:
        container, user = self.containers()["db"], self.database
        return docker("exec", container, "psql", "-qAt", "-U", user, "-d", database or user, "-c", statement)

    def revision(self) -> str:
        return self.sql("SELECT version_num FROM alembic_version")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Stack]:
    source = tmp_path_factory.mktemp("rollback") / "monorepo"
    ignored = shutil.ignore_patterns("node_modules", ".venv", "__pycache__")
    shutil.copytree(REPOSITORY / "examples/monorepo", source, ignore=ignored)
    it = Stack(f"it-{uuid.uuid4().hex[:8]}", source, free_port(), free_port())
    try:
        it.write_version("zero")
        it.write_frontend("zero")
        assert it.play("site").returncode == 0
        yield it
    finally:
        docker("compose", "--project-name", it.name, "down", "--volumes", "--remove-orphans", "--timeout", "0")
        if images := docker("images", "--filter", f"reference={it.name}/*", "--quiet").split():
            docker("rmi", "--force", *set(images))
        if it.root.exists():
            shutil.rmtree(it.root)
        subprocess.run(["userdel", it.name], check=False)


def test_rollback_goes_to_the_release_before_and_the_next_deploy_forward_again(stack: Stack) -> None:
    first, second = stack.deploy("one"), stack.deploy("two")
    deployed = stack.releases()[first]["deployed"]
    before = stack.containers()

    checked = stack.play("rollback", "--check", "--diff")
    assert checked.returncode == 0
    assert checked.counter("changed") > 0
    assert (stack.current(), stack.version(), stack.containers()) == (second, "two", before)

    done = stack.play("rollback")
    assert done.returncode == 0
    assert f"release {first}" in done.output
    assert (stack.current(), stack.version()) == (first, "one")
    after = stack.containers()
    assert {name for name in after if after[name] != before[name]} == {"backend"}
    record = stack.releases()[first]
    assert (record["outcome"], record["current"], record["revision"]) == ("deployed", True, "0003")
    assert record["deployed"] > deployed
    assert stack.releases()[second]["outcome"] == "deployed"

    # The one that is current already: whole id, or a beginning only it has.
    again = stack.play("rollback", release=first)
    assert (again.returncode, again.counter("changed"), stack.current()) == (0, 0, first)

    # The declaration was not rolled back.
    third = stack.play("deploy")
    assert (third.returncode, stack.version()) == (0, "two")
    assert stack.current() not in (first, second)
    # Before it is the same content under another id: passed over.
    assert stack.play("rollback").returncode == 0
    assert (stack.current(), stack.version()) == (first, "one")


def test_release_is_named_by_its_id_and_what_is_not_there_is_refused_with_what_is(stack: Stack) -> None:
    first, second = stack.deploy("named"), stack.deploy("later")
    assert stack.play("rollback", release=first).returncode == 0
    assert (stack.current(), stack.version()) == (first, "named")
    assert stack.play("rollback", release=second).returncode == 0
    assert (stack.current(), stack.version()) == (second, "later")
    before = stack.containers()
    unknown = stack.play("rollback", release="19990101")
    assert unknown.returncode != 0
    assert "There is no release 19990101." in unknown.output
    assert f"{second} (current): deployed" in unknown.output
    assert first in unknown.output
    assert (unknown.counter("changed"), stack.current(), stack.containers()) == (0, second, before)


def test_database_at_another_revision_is_refused_with_both(stack: Stack) -> None:
    first, second = stack.deploy("known"), stack.deploy("unknown")
    stack.sql("UPDATE alembic_version SET version_num = '0002'")
    try:
        outcome = stack.play("rollback", release=first)
    finally:
        stack.sql("UPDATE alembic_version SET version_num = '0003'")
    assert outcome.returncode != 0
    assert "In force: 0002. The release was deployed with: 0003." in outcome.output
    assert "Deploy forward" in outcome.output
    assert "rollback_database=downgrade: The database cannot be migrated down to 0003" in outcome.output
    assert (outcome.counter("changed"), stack.current(), stack.version()) == (0, second, "unknown")


def test_images_that_are_gone_are_named(stack: Stack) -> None:
    first, second = stack.deploy("gone"), stack.deploy("here")
    image = stack.releases()[first]["images"]["backend"]
    docker("tag", image, f"{stack.name}/kept:by-hand")
    docker("rmi", image)
    try:
        outcome = stack.play("rollback")
    finally:
        docker("tag", f"{stack.name}/kept:by-hand", image)
        docker("rmi", f"{stack.name}/kept:by-hand")
    assert outcome.returncode != 0
    assert f"Images of the release {first} are no longer on this host." in outcome.output
    assert f"backend: {image}" in outcome.output
    assert (outcome.counter("changed"), stack.current(), stack.version()) == (0, second, "here")


def test_release_that_does_not_become_ready_any_more_is_not_gone_back_to(stack: Stack) -> None:
    first, second = stack.deploy("sick"), stack.deploy("well")
    with sabotaged(stack.root / "releases" / first / "compose.yaml"):
        outcome = stack.play("rollback")
    assert outcome.returncode != 0
    assert "backend did not become ready" in outcome.output
    assert "The previous release serves on" in outcome.output
    assert (stack.current(), stack.version()) == (second, "well")
    record = stack.releases()[first]
    assert (record["outcome"], record["revision"]) == ("failed", "0003")
    # It did run once, so it can be asked for by name.
    assert stack.play("rollback", release=first).returncode == 0
    assert (stack.current(), stack.version()) == (first, "sick")


@contextlib.contextmanager
def sabotaged(compose_file: Path) -> t.Iterator[None]:
    """Have the backend of a release end as soon as it starts."""
    text = compose_file.read_text()
    assert "- uvicorn" in text
    compose_file.write_text(text.replace("- uvicorn", "- 'false'", 1))
    try:
        yield
    finally:
        compose_file.write_text(text)


def test_only_the_services_asked_for_are_brought_up(stack: Stack) -> None:
    # As people write it after -e.
    given = " frontend , "
    stack.write_frontend("before the frontend")
    stack.deploy("before the frontend")
    before, release, version = stack.containers(), stack.current(), stack.version()
    stack.write_frontend("the frontend")
    stack.write_version("not yet")
    outcome = stack.play("deploy", stack_deploy_services=given)
    assert outcome.returncode == 0
    assert "only frontend with what they depend on" in outcome.output
    after = stack.containers()
    assert {name for name in after if after[name] != before[name]} == {"frontend"}
    assert stack.get("/version.txt") == "the frontend"
    # The whole project is the release; what was not asked for runs on as it was.
    assert stack.current() != release
    assert stack.version() == version
    assert stack.play("deploy", stack_deploy_services=given).counter("changed") == 0

    assert stack.play("deploy").returncode == 0
    assert stack.version() == "not yet"
    assert stack.play("deploy").counter("changed") == 0


def test_service_that_the_stack_does_not_have_is_refused_by_name(stack: Stack) -> None:
    before = stack.containers()
    outcome = stack.play("deploy", stack_deploy_services="backend,worker,api")
    assert outcome.returncode != 0
    assert "The stack has no service named worker, api." in outcome.output
    assert "Its services are: db, redis, backend, frontend, nginx." in outcome.output
    assert stack.containers() == before


def test_migration_comes_with_the_code_that_needs_it_and_goes_back_as_is_said(stack: Stack) -> None:
    stack.deploy("before the table")
    stack.write_frontend("before the table")
    versions = stack.source / "apps/backend/alembic/versions"
    (versions / "0004_coupons.py").write_text(MIGRATION)
    first = stack.deploy("before the table", stack_deploy_services="frontend")
    assert (stack.revision(), stack.releases()[first]["revision"]) == ("0003", "0003")
    second = stack.deploy("with the table")
    assert (stack.revision(), stack.releases()[second]["revision"]) == ("0004", "0004")
    stack.sql("INSERT INTO coupons VALUES (1)")
    refused = stack.play("rollback")
    assert refused.returncode != 0
    assert "In force: 0004. The release was deployed with: 0003." in refused.output
    assert "rollback_database=downgrade: takes back 0004 (A table more.)" in refused.output
    assert f"rollback_database=restore: puts {stack.database}-20" in refused.output
    assert (refused.counter("changed"), stack.current()) == (0, second)

    # Down: what the migration made is gone, and in the dump that was taken before.
    assert stack.play("rollback", rollback_database="downgrade").returncode == 0
    assert (stack.current(), stack.revision()) == (first, "0003")
    assert stack.sql("SELECT to_regclass('coupons') IS NULL") == "t"

    # Forward again, and back to the data of before: what was written since is beside it.
    third = stack.deploy("with the table")
    assert (stack.current(), stack.revision()) == (third, "0004")
    # A release that does not come up leaves the newer one, on a database that it knows.
    with sabotaged(stack.root / "releases" / first / "compose.yaml"):
        failed = stack.play("rollback", release=first, rollback_database="restore")
    assert failed.returncode != 0
    assert (stack.current(), stack.revision(), stack.version()) == (third, "0004", "with the table")
    stack.sql("INSERT INTO coupons VALUES (2)")
    assert stack.play("rollback", release=first, rollback_database="restore").returncode == 0
    assert (stack.current(), stack.revision()) == (first, "0003")
    kept = stack.sql(f"SELECT max(datname) FROM pg_database WHERE datname LIKE '{stack.database}_before_%'")
    assert stack.sql("SELECT id FROM coupons", kept) == "2"
