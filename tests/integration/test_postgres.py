# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps, their proof and their way back, with a real PostgreSQL under write load."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, Result, begin_module, newest_image, probed, project, shell

from ansible_collections.shipshape.stack.plugins.module_utils import _dumps, _postgres

PASSWORD = "uQ7-vd2Lk0_pXz91"
SCHEMA = """
CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0003');
CREATE TABLE item (id bigint PRIMARY KEY, name text); CREATE SCHEMA "Odd one"; CREATE ROLE reader NOLOGIN;
CREATE TABLE "Odd one"."Table" (id int); INSERT INTO "Odd one"."Table" SELECT generate_series(1, 5);
GRANT SELECT ON item TO reader; CREATE ROLE clerk NOLOGIN IN ROLE reader;
ALTER DATABASE shop SET search_path = public, "Odd one"; ALTER ROLE reader IN DATABASE shop SET work_mem = '8MB';
REVOKE CONNECT ON DATABASE shop FROM PUBLIC;
INSERT INTO item SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
"""


@dataclass(frozen=True)
class Data:
    """A running database with something in it, a service that uses it, and a directory for dumps."""

    project: Project
    dumps: Path

    @property
    def container(self) -> str:
        return f"{self.project.name}-db-1"

    def sql(self, statement: str, database: str = "shop") -> str:
        argv = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-d", database]
        return docker("exec", self.container, *argv, "-c", statement)

    def begin(self, module: str, **arguments: t.Any) -> subprocess.Popen[str]:
        given = {"project_src": str(self.project.directory), "database": "shop", "dumps": str(self.dumps)}
        return begin_module(module, {**given, **arguments})

    def run(self, module: str, **arguments: t.Any) -> Result:
        output, errors = self.begin(module, **arguments).communicate(timeout=120)
        assert output, errors
        return t.cast("Result", json.loads(output))

    def dump(self, **arguments: t.Any) -> Result:
        result = self.run("postgres_backup", **arguments)
        assert not result.get("failed"), result.get("msg")
        return t.cast("Result", result["dump"])

    def databases(self) -> set[str]:
        return set(self.sql("SELECT datname FROM pg_database WHERE datname LIKE 'shop%'").split())

    def files(self) -> set[str]:
        return {path.name for path in self.dumps.iterdir()}

    def writer(self) -> str:
        """Return the state of the service that uses the database."""
        return docker("inspect", "--format", "{{.State.Status}}", f"{self.project.name}-writer-1")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Project]:
    directory = tmp_path_factory.mktemp("data")
    image = newest_image("shipshape/postgres")
    database = {
        "image": image,
        "environment": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "shop"},
        "volumes": ["data:/var/lib/postgresql/data"],
        "stop_grace_period": "0s",
        **probed("pg_isready -h 127.0.0.1 -U shop", start_period="60s"),
    }
    writer = shell(image, "exec sleep 600", depends_on=["db"], restart="unless-stopped", entrypoint=[])
    with project(directory) as it:
        it.declare({"db": database, "writer": writer}, volumes={"data": {}})
        result = it.up(wait_timeout=60)
        assert not result.get("failed"), result.get("msg")
        yield it


@pytest.fixture
def data(running: Project, tmp_path: Path) -> Data:
    """The database as it was in the beginning."""
    dumps = tmp_path / "dumps"
    dumps.mkdir(mode=0o700)
    it = Data(running, dumps)
    for name in it.databases():
        it.sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")
    it.sql("DROP ROLE IF EXISTS clerk, reader", "postgres")
    it.sql("CREATE DATABASE shop", "postgres")
    it.sql(SCHEMA)
    return it


class Writer:
    """Somebody who writes rows all the time; ``acknowledged`` are those the server has promised to keep."""

    def __init__(self, data: Data, first: int = 1_000_000) -> None:
        self._data, self._next = data, first
        self.acknowledged: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(_postgres.ServerError), self._session() as session:
                while not self._over.is_set():
                    session.run(f"INSERT INTO item VALUES ({self._next}, 'new');")
                    self.acknowledged.append(self._next)
                    self._next += 1

    def _session(self) -> _postgres.Session:
        return _postgres.Session(self._data.container, "shop", "shop", "writer")

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()


def test_dump_under_load_holds_every_row_that_was_acknowledged_before_it(data: Data) -> None:
    with Writer(data) as writer:
        while len(writer.acknowledged) < 50:
            time.sleep(0.01)  # until there are some: nothing tells
        before = list(writer.acknowledged)
        dump = data.dump()
    assert (dump["kind"], dump["revision"], dump["database"]) == ("manual", "0003", "shop")
    assert set(dump["tables"]) == {"public.alembic_version", "public.item", '"Odd one"."Table"'}
    assert 20000 + len(before) <= dump["tables"]["public.item"] <= 20000 + len(writer.acknowledged)
    for suffix in (".dump", ".json", ".globals.sql"):
        assert (data.dumps / f"{dump['name']}{suffix}").stat().st_mode & 0o777 == 0o600
    proof = data.run("postgres_backup", state="drilled")["proof"]
    assert (proof["tables"], proof["revision"]) == (3, "0003")
    assert proof["rows"] == sum(dump["tables"].values())


def test_drill_leaves_nothing_and_reaches_nothing(data: Data) -> None:
    data.dump()
    before = data.project.containers()
    volumes = docker("volume", "ls", "--quiet")
    result = data.run("postgres_backup", state="drilled")
    assert result["proof"]["seconds"] > 0
    assert result["changed"] is False
    assert docker("ps", "--all", "--quiet", "--filter", "name=shipshape-drill") == ""
    assert docker("volume", "ls", "--quiet") == volumes
    assert data.project.containers() == before


def test_drill_that_finds_other_rows_fails_and_names_them(data: Data) -> None:
    dump = data.dump()
    record = data.dumps / f"{dump['name']}.json"
    told = json.loads(record.read_text())
    told["tables"]["public.item"] = 20001
    record.write_text(json.dumps(told))
    result = data.run("postgres_backup", state="drilled")
    assert result["cause"] == f"The dump {dump['name']} does not restore to what was noted when it was taken."
    assert result["evidence"] == "public.item: 20000, noted were 20001"
    assert docker("ps", "--all", "--quiet", "--filter", "name=shipshape-drill") == ""


def test_old_dumps_of_the_same_kind_go_and_others_stay(data: Data) -> None:
    scheduled = data.dump(kind="scheduled")["name"]
    numbers = {f"keep_{period}": 0 for period in ("daily", "weekly", "monthly")}
    names = [data.dump(keep_last=2, **numbers)["name"] for _number in range(3)]
    assert {item.name for item in _dumps.listed(data.dumps)} == {scheduled, *names[1:]}
    assert len(data.files()) == 9


def test_restore_takes_the_place_of_the_live_database_which_is_kept(data: Data) -> None:
    dump = data.dump()
    data.sql("DELETE FROM item WHERE id <= 10000; INSERT INTO item VALUES (777777, 'after the dump')")
    result = data.run("postgres_restore")
    assert not result.get("failed"), result.get("msg")
    assert result["dump"]["name"] == dump["name"]
    assert data.sql("SELECT count(*) FROM item") == "20000"
    assert data.sql("SELECT count(*) FROM item", result["replaced"]) == "10001"
    assert data.sql("SELECT has_table_privilege('reader', 'item', 'SELECT')") == "t"
    assert data.databases() == {"shop", result["replaced"]}
    assert data.writer() == "running"
    assert 0 < result["stopped"] < 10
    cleaned = data.run("postgres_restore", state="clean")
    assert cleaned["removed"] == [result["replaced"]]
    assert data.databases() == {"shop"}
    assert data.run("postgres_restore", state="clean")["changed"] is False


def test_restore_on_a_new_server_brings_its_roles(data: Data) -> None:
    data.dump()
    settings = "SELECT setrole::regrole, setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
    settings += " WHERE datname = 'shop' ORDER BY 1"
    grants = "SELECT item::text, datcollate FROM pg_database, unnest(datacl) item WHERE datname = 'shop' ORDER BY 1"
    before = data.sql(settings), data.sql(grants)
    data.sql("DROP OWNED BY reader; DROP ROLE clerk, reader; ALTER DATABASE shop RESET ALL")
    result = data.run("postgres_restore")
    assert not result.get("failed"), result.get("msg")
    assert data.sql("SELECT has_table_privilege('clerk', 'item', 'SELECT')") == "t"
    assert (data.sql(settings), data.sql(grants)) == before


def spoil(data: Data, dump: str, how: str) -> None:
    """Do to a dump what happens to files."""
    file = data.dumps / f"{dump}.dump"
    content = file.read_bytes()
    if how == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif how == "damaged":
        file.write_bytes(content[:5000] + b"\0" + content[5001:])
    else:
        (data.dumps / f"{dump}{'.json' if how == 'without a record' else '.globals.sql'}").unlink()


@pytest.mark.parametrize("how", ["truncated", "damaged", "without a record", "without its roles"])
def test_dump_that_is_not_whole_is_refused_with_nothing_touched(data: Data, how: str) -> None:
    dump = data.dump()["name"]
    spoil(data, dump, how)
    before = data.project.containers()
    result = data.run("postgres_restore", dump=dump)
    assert result["failed"]
    assert dump in result["cause"]
    assert result["fix"]
    assert data.databases() == {"shop"}
    assert data.sql("SELECT count(*) FROM item") == "20000"
    assert data.project.containers() == before
    assert data.writer() == "running"


def test_dump_of_another_database_is_refused(data: Data) -> None:
    dump = data.dump()["name"]
    result = data.run("postgres_restore", dump=dump, database="other", database_user="shop")
    assert result["cause"].startswith(f"There is no dump {dump} of other in ")


def begun(data: Data, application: str, what: str) -> None:
    """Return when a connection of that name does something."""
    with _postgres.Session(data.container, "shop", "postgres", "observer") as session:
        session.run(
            "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = "
            f"'{application}' AND query ~* '{what}' AND state <> 'idle')"
            " LOOP PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$;"
        )


@pytest.mark.parametrize("victim", ["deployer", "PostgreSQL"])
def test_kill_in_a_dump_leaves_no_dump_and_the_next_one_is_whole(data: Data, victim: str) -> None:
    data.sql("INSERT INTO item SELECT n, md5(n::text) FROM generate_series(2000000, 2600000) n")
    dump = data.begin("postgres_backup")
    begun(data, "shipshape-dump-manual", "copy public.item")
    if victim == "deployer":
        dump.kill()
        dump.communicate()
    else:
        docker("kill", data.container)
        output, _errors = dump.communicate(timeout=60)
        assert json.loads(output)["failed"]
        data.project.up(wait_timeout=60)
    assert _dumps.listed(data.dumps) == []
    name = data.dump()["name"]
    assert [item.name for item in _dumps.listed(data.dumps)] == [name]
    assert data.files() == {f"{name}{suffix}" for suffix in (".dump", ".globals.sql", ".json")}
    assert data.sql("SELECT count(*) FROM item") == "620001"


@pytest.mark.parametrize("victim", ["deployer", "PostgreSQL"])
def test_kill_in_a_restore_leaves_the_live_database_and_the_next_one_works(data: Data, victim: str) -> None:
    data.sql("INSERT INTO item SELECT n, md5(n::text) FROM generate_series(2000000, 2600000) n")
    data.dump()
    data.sql("INSERT INTO item VALUES (777777, 'after the dump')")
    restore = data.begin("postgres_restore")
    begun(data, "pg_restore", "copy public.item")
    if victim == "deployer":
        restore.kill()
        restore.communicate()
    else:
        docker("kill", data.container)
        output, _errors = restore.communicate(timeout=60)
        assert json.loads(output)["failed"]
        data.project.up(wait_timeout=60)
    assert data.sql("SELECT count(*) FROM item") == "620002"
    result = data.run("postgres_restore")
    assert not result.get("failed"), result.get("msg")
    assert data.sql("SELECT count(*) FROM item") == "620001"
    assert data.databases() == {"shop", result["replaced"]}


def test_swap_that_is_killed_is_one_or_the_other_and_a_deploy_starts_what_was_stopped(data: Data) -> None:
    data.dump()
    data.sql("INSERT INTO item VALUES (777777, 'after the dump')")
    restore = data.begin("postgres_restore")
    deadline = time.monotonic() + 60
    while data.writer() == "running" and time.monotonic() < deadline:
        time.sleep(0.005)  # the moment between two events is what is looked for
    restore.kill()
    restore.communicate()
    assert data.sql("SELECT count(*) FROM item") in ("20000", "20001")
    data.project.up(wait_timeout=60)
    assert data.writer() == "running"
    result = data.run("postgres_restore")
    assert not result.get("failed"), result.get("msg")
    assert data.sql("SELECT count(*) FROM item") == "20000"
