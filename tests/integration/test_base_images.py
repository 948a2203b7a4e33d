# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of the role base_images, on the Engine of this machine."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import subprocess
import threading
import time
import typing as t
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import debian_machine_without_systemd, docker
from playbook import LOCAL, Outcome, run_play

from ansible_collections.shipshape.stack.plugins.module_utils import _base_images as core
from ansible_collections.shipshape.stack.plugins.module_utils import _image_supply
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

SERVICES = {
    "db": {"kind": "postgres"},
    "redis": {"kind": "redis"},
    "backend": {"kind": "fastapi"},
    "worker": {"kind": "celery"},
    "frontend": {"kind": "static"},
    "nginx": {"kind": "nginx"},
}
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
NOBODY_ANSWERS = "127.0.0.1:1"
LOG_SECONDS = 60
MEGABYTE = 1000 * 1000


@dataclass(frozen=True)
class Resolved:
    """A run of the role and what it registered."""

    outcome: Outcome
    result: dict[str, t.Any]

    @property
    def images(self) -> dict[str, str]:
        """Return image -> reference."""
        return t.cast("dict[str, str]", self.result["images"])


def apply(
    result_file: Path,
    *,
    services: dict[str, dict[str, str]] | None = None,
    hosts: dict[str, dict[str, t.Any]] | None = None,
    options: t.Sequence[str] = (),
    **variables: t.Any,
) -> Resolved:
    """Run the role. The mirror of the test machine may be a frozen one."""
    play = {
        "hosts": "all",
        "gather_facts": False,
        "roles": ["shipshape.stack.base_images"],
        "vars": {
            "stack_model": {"services": services or SERVICES},
            "base_images_nginx_check_valid_until": False,
        }
        | variables,
        "post_tasks": [
            {
                "ansible.builtin.copy": {
                    "content": "{{ base_images_resolved | to_json }}",
                    "dest": str(result_file),
                    "mode": "0600",
                },
                "delegate_to": "localhost",
                "vars": LOCAL,
                "check_mode": False,
                "changed_when": False,
            }
        ],
    }
    result_file.unlink(missing_ok=True)
    outcome = run_play([play], hosts=hosts, options=options)
    return Resolved(outcome, json.loads(result_file.read_text()) if result_file.exists() else {})


@pytest.fixture(scope="session")
def distro(tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    """All five images from packages; built only if this machine does not have them."""
    resolved = apply(tmp_path_factory.mktemp("distro") / "result.json", base_images_source="distro")
    assert resolved.outcome.returncode == 0, resolved.outcome.output
    return resolved


@pytest.fixture(scope="session")
def images(distro: Resolved) -> dict[str, str]:
    """Image -> reference."""
    return distro.images


@contextlib.contextmanager
def container(image: str, *command: str, options: t.Sequence[str] = HARDENED) -> t.Iterator[str]:
    """Run a container in the background and remove it with its volumes."""
    name = f"base-images-test-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, *options, image, *command)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


@contextlib.contextmanager
def volume() -> t.Iterator[str]:
    """Make a named volume."""
    name = docker("volume", "create")
    try:
        yield name
    finally:
        docker("volume", "rm", name)


def output(image: str, *command: str, options: t.Sequence[str] = HARDENED) -> str:
    """Run a container to its end and return what it prints."""
    return docker("run", "--rm", *options, image, *command)


def wait_for_log(name: str, *texts: str, since: str = "0") -> None:
    """Return when the container's log had a line with each of ``texts``, in this order.

    Raises when the log ends before or LOG_SECONDS are over.
    """
    follow = ["docker", "logs", "--follow", "--since", since, name]
    awaited, seen = list(texts), []
    with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as logs:
        deadline = threading.Timer(LOG_SECONDS, logs.kill)
        deadline.start()
        try:
            for line in logs.stdout or ():
                seen.append(line)
                if awaited[0] in line:
                    awaited.pop(0)
                if not awaited:
                    return
        finally:
            deadline.cancel()
            logs.kill()
    raise AssertionError(f"{name} never said {awaited[0]!r}:\n{''.join(seen)}")


def log_of(name: str) -> str:
    """Return what the container has said so far, on both streams."""
    done = subprocess.run(
        ["docker", "logs", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    return done.stdout


def seconds_to_stop(name: str, command: t.Sequence[str]) -> float:
    """Run ``docker stop`` or ``docker kill`` and return the time between the Engine's ``kill`` and ``die`` events."""
    started = time.time()
    docker(*command, name)
    docker("wait", name)
    events = docker(
        *("events", "--since", f"{started:.6f}", "--until", f"{time.time() + 0.1:.6f}"),
        *("--filter", f"container={name}", "--format", "{{.Action}} {{.TimeNano}}"),
    )
    times = {line.split()[0]: int(line.split()[1]) for line in reversed(events.splitlines())}
    return (times["die"] - times["kill"]) / 1e9


def psql(name: str, query: str, *options: str) -> str:
    """Run a query in the container over its local socket."""
    return docker("exec", name, "psql", "-XAtq", *options, "-c", query)


POSTGRES = [*HARDENED, "--user=999:999", "--tmpfs=/var/run/postgresql"]


def wait_for_postgres(name: str, since: str = "0") -> None:
    """Return when the server answers to clients: the first start's own server does not listen on TCP."""
    wait_for_log(name, "listening on IPv4 address", "database system is ready to accept connections", since=since)


# --- the role ---------------------------------------------------------------------------------------------------------


def test_a_second_run_builds_nothing(distro: Resolved, tmp_path: Path) -> None:
    again = apply(tmp_path / "result.json")
    assert again.outcome.returncode == 0
    assert again.outcome.counter("changed") == 0
    assert again.result["missing"] == []
    assert again.result["source"] == "distro"
    assert again.images == distro.images


def test_only_what_the_services_need_is_provided(distro: Resolved, tmp_path: Path) -> None:
    resolved = apply(tmp_path / "result.json", services={"db": SERVICES["db"], "worker": SERVICES["worker"]})
    assert resolved.images == {name: distro.images[name] for name in ("postgres", "python")}


def test_check_mode_tells_what_a_new_serial_would_build(distro: Resolved, tmp_path: Path) -> None:
    resolved = apply(tmp_path / "result.json", options=["--check"], base_images_serial="never built")
    assert resolved.outcome.returncode == 0
    assert resolved.result["missing"] == ["base", "nginx", "node", "postgres", "python", "redis"]
    assert not set(resolved.images.values()) & set(distro.images.values())
    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    assert not set(resolved.images.values()) & set(listed)


def test_check_mode_works_on_a_host_without_docker(distro: Resolved, tmp_path: Path) -> None:
    with debian_machine_without_systemd("debian13") as bare:
        resolved = apply(tmp_path / "result.json", hosts=bare.hosts, options=["--check"])
    assert resolved.outcome.returncode == 0
    assert resolved.result["changed"]
    assert set(resolved.images) == set(distro.images)


# --- a registry -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def registry(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    """Run a real registry on the loopback interface and return its host:port."""
    configuration = tmp_path_factory.mktemp("registry") / "config.yml"
    configuration.write_text(json.dumps({"version": 0.1, "storage": {"inmemory": {}}, "http": {"addr": ":5000"}}))
    made_of = core.recipe_hash(images["python"])
    image = f"shipshape-test/registry:{made_of}"
    recipe = f"FROM {images['python']}\nRUN apt-get -qq update && apt-get -qq -y install docker-registry\n"
    if not docker("image", "ls", "--quiet", image):
        subprocess.run(
            ["docker", "buildx", "build", "--load", "--tag", image, "-"], input=recipe, text=True, check=True
        )
    with container(
        image,
        *("docker-registry", "serve", "/config.yml"),
        options=["--publish=127.0.0.1::5000", f"--volume={configuration}:/config.yml:ro"],
    ) as name:
        wait_for_log(name, "listening on")
        yield docker("port", name, "5000/tcp")


def test_a_registry_image_is_pulled_once_and_pinned_by_digest(
    registry: str, images: dict[str, str], tmp_path: Path
) -> None:
    reference = f"{registry}/team/redis:8"
    docker("tag", images["redis"], reference)
    docker("push", "--quiet", reference)
    docker("image", "rm", reference)
    wanted = {
        "services": {"redis": SERVICES["redis"]},
        "base_images_source": "registry",
        "base_images_registry_images": {"redis": reference},
    }
    try:
        would = apply(tmp_path / "would.json", options=["--check"], **wanted)
        first = apply(tmp_path / "first.json", **wanted)
        second = apply(tmp_path / "second.json", **wanted)
        assert would.images == {"redis": reference}
        assert would.result["missing"] == first.result["missing"] == ["redis"]
        assert re.fullmatch(rf"{registry}/team/redis@sha256:[0-9a-f]{{64}}", first.images["redis"])
        assert first.outcome.counter("changed") == 1
        assert second.images == first.images
        assert second.outcome.counter("changed") == 0
        assert output(first.images["redis"], "redis-server", "--version").startswith("Redis server")
    finally:
        docker("image", "rm", "--force", reference)


def order(references: dict[str, str], timeout: int = 5) -> _image_supply.Order:
    """Want the images of ``references`` from a registry."""
    nothing = core.Distribution("trixie", "", "", "testing", True, "", "1")
    return _image_supply.Order(tuple(references), references, timeout, nothing, {"base": {}})


def test_an_unreachable_registry_is_a_clear_error(distro: Resolved, tmp_path: Path) -> None:
    resolved = apply(
        tmp_path / "result.json",
        services={"redis": SERVICES["redis"]},
        base_images_source="registry",
        base_images_registry_images={"redis": f"{NOBODY_ANSWERS}/redis:8"},
    )
    assert resolved.outcome.returncode != 0
    said = " ".join(resolved.outcome.output.split())
    assert f"The registry {NOBODY_ANSWERS} cannot be reached for {NOBODY_ANSWERS}/redis:8." in said
    assert "connection refused" in said
    assert "base_images_source" in said


def test_a_refused_image_is_an_error_and_not_a_reason_to_build(registry: str) -> None:
    with pytest.raises(StackError, match="refused") as refused:
        _image_supply.choose_source(order({"redis": f"{registry}/no/such/image:1"}), "auto", [])
    assert "manifest unknown" in refused.value.evidence


def test_auto_takes_a_new_host_to_the_registry_that_answers_or_to_the_distribution(
    registry: str, images: dict[str, str]
) -> None:
    reference = f"{registry}/team/answers:1"
    docker("tag", images["redis"], reference)
    docker("push", "--quiet", reference)
    docker("image", "rm", reference)
    assert _image_supply.choose_source(order({"redis": reference}), "auto", []) == "registry"
    assert _image_supply.choose_source(order({"redis": f"{NOBODY_ANSWERS}/redis:8"}), "auto", []) == "distro"


def test_a_registry_that_never_answers_is_waited_for_a_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(StackError, match="cannot be reached"):
            _image_supply.choose_source(order({"redis": f"{host}/redis:8"}, timeout=1), "registry", [])
        assert time.monotonic() - started < 4


# --- the images -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "megabytes"), [("python", 125), ("nginx", 100), ("redis", 100), ("postgres", 160)])
def test_images_are_small(images: dict[str, str], image: str, megabytes: int) -> None:
    assert int(docker("image", "inspect", "--format", "{{.Size}}", images[image])) < megabytes * MEGABYTE


def test_the_base_is_small_and_holds_no_docs_but_licences(images: dict[str, str]) -> None:
    rows = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"label={core.RECIPE_LABEL}")
    assert set(images.values()) <= set(rows.splitlines())
    bases = docker("image", "ls", "--no-trunc", "--quiet", "shipshape/base").splitlines()
    layers = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", images["redis"]))
    found = [row for row in json.loads(docker("image", "inspect", *bases)) if row["RootFS"]["Layers"] == layers[:1]]
    assert found
    assert found[0]["Size"] < 100 * MEGABYTE
    documents = "find /usr/share/doc -type f ! -name copyright"
    unread = "find /usr/share/man /usr/share/locale /var/lib/apt/lists -type f -size +0"
    for image in images.values():
        assert output(image, "sh", "-c", f"{documents}; {unread}", options=["--entrypoint=", "--user=0"]) == ""
    assert output(images["redis"], "cat", "/usr/share/doc/redis-server/copyright") != ""


def test_postgres_takes_user_password_and_database_from_the_environment(images: dict[str, str]) -> None:
    environment = [
        "--env=POSTGRES_USER=shop",
        '--env=POSTGRES_PASSWORD=it\'s "quoted" $(here)',
        "--env=POSTGRES_DB=store",
    ]
    with container(images["postgres"], "-c", "max_connections=17", options=[*POSTGRES, *environment]) as name:
        wait_for_postgres(name)
        local = ["-U", "shop", "-d", "store"]
        assert psql(name, "select current_user, current_database()", *local) == "shop|store"
        assert psql(name, "show max_connections", *local) == "17"
        assert psql(name, "show server_encoding", *local) == "UTF8"
        assert (
            psql(name, "select datlocprovider, datlocale from pg_database where datname = 'store'", *local)
            == "b|C.UTF-8"
        )
        assert psql(name, "select lower('ÄÖÜ')", *local) == "äöü"
        assert (
            psql(name, "select left(rolpassword, 13) from pg_authid where rolname = 'shop'", *local) == "SCRAM-SHA-256"
        )
        over_tcp = 'psql -XAtq -U shop -d store -h "$(hostname -i)" -c "select 1"'
        password = ["exec", "--env", 'PGPASSWORD=it\'s "quoted" $(here)', name]
        assert docker(*password, "sh", "-c", over_tcp) == "1"
        with pytest.raises(RuntimeError, match="password authentication failed"):
            docker("exec", "--env", "PGPASSWORD=wrong", name, "sh", "-c", over_tcp)
        assert docker("exec", name, "stat", "-c", "%u:%g %a", "/var/lib/postgresql/data") == "999:999 700"
        tools = docker("exec", name, "sh", "-c", "pg_dump --version && pg_restore --version && pg_isready")
        assert "accepting connections" in tools
        assert seconds_to_stop(name, ["stop"]) < 1
        code, log = int(docker("wait", name)), log_of(name)
        assert code == 0
        assert "database system is shut down" in log


def init_scripts(directory: Path) -> Path:
    """Write one script of each kind; each adds its name to the table that the first one makes."""
    scripts = directory / "initdb"
    scripts.mkdir()
    add = 'psql -v ON_ERROR_STOP=1 -q --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"'
    (scripts / "10-table.sql").write_text("CREATE TABLE ran (step serial, script text);\n")
    with gzip.open(scripts / "20-compressed.sql.gz", "wt") as file:
        file.write("INSERT INTO ran (script) VALUES ('gz');\n")
    (scripts / "30-sourced.sh").write_text(f"{add} -c \"INSERT INTO ran (script) VALUES ('sourced')\"\nSOURCED=yes\n")
    executed = scripts / "40-executed.sh"
    executed.write_text(f"#!/bin/sh\nset -eu\n{add} -c \"INSERT INTO ran (script) VALUES ('executed${{SOURCED-}}')\"\n")
    executed.chmod(0o755)
    (scripts / "50-notes.txt").write_text("not a script\n")
    return scripts


def test_postgres_runs_initdb_scripts_once_in_order_with_secrets_from_files(
    images: dict[str, str], tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    options = [*POSTGRES, f"--volume={init_scripts(tmp_path)}:/docker-entrypoint-initdb.d:ro"]
    for setting, value in (("USER", "shop"), ("PASSWORD", "from a file"), ("DB", "store")):
        (secrets / setting).write_text(f"{value}\n")
        options.append(f"--env=POSTGRES_{setting}_FILE=/run/secrets/{setting}")
    options.append(f"--volume={secrets}:/run/secrets:ro")
    with container(images["postgres"], options=options) as name:
        wait_for_postgres(name)
        ran = "select string_agg(script, ',' order by step) from ran"
        local = ["-U", "shop", "-d", "store"]
        assert psql(name, ran, *local) == "gz,sourced,executed"
        password = ["exec", "--env", "PGPASSWORD=from a file", name]
        assert docker(*password, "psql", "-XAtqh", "127.0.0.1", *local, "-c", "select 1") == "1"
        assert "from a file" not in docker("exec", name, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ")

        assert seconds_to_stop(name, ["stop"]) < 1
        docker("start", name)
        restarted = docker("inspect", "--format", "{{.State.StartedAt}}", name)
        wait_for_postgres(name, since=restarted)
        assert psql(name, ran, *local) == "gz,sourced,executed"
        log = docker("logs", "--since", restarted, name)
        assert "running /docker-entrypoint-initdb.d" not in log


def test_postgres_killed_in_its_first_start_begins_again(images: dict[str, str], tmp_path: Path) -> None:
    scripts = tmp_path / "initdb"
    scripts.mkdir()
    (scripts / "10-table.sql").write_text("CREATE TABLE half_made (id int);\n")
    (scripts / "20-wait.sh").write_text(
        "echo waiting for ever\nwhile ! [ -e /docker-entrypoint-initdb.d/go ]; do read -r; done\n"
    )
    with volume() as data, contextlib.ExitStack() as containers:
        options = [
            *POSTGRES,
            "--env=POSTGRES_PASSWORD=x",
            f"--volume={scripts}:/docker-entrypoint-initdb.d:ro",
            f"--volume={data}:/var/lib/postgresql/data",
        ]
        (scripts / "20-wait.sh").write_text(
            "echo waiting for ever\n[ -e /docker-entrypoint-initdb.d/go ] || tail -f /dev/null\n"
        )
        killed = containers.enter_context(container(images["postgres"], options=options))
        wait_for_log(killed, "waiting for ever")
        with pytest.raises(RuntimeError):
            docker("exec", killed, "pg_isready", "--quiet")
        docker("kill", "--signal=KILL", killed)
        docker("wait", killed)

        stopped = containers.enter_context(container(images["postgres"], options=options))
        wait_for_log(stopped, "waiting for ever")
        assert "beginning again" in log_of(stopped)
        assert seconds_to_stop(stopped, ["stop"]) < 1

        (scripts / "go").touch()
        finished = containers.enter_context(container(images["postgres"], options=options))
        wait_for_postgres(finished)
        assert psql(finished, "select count(*) from half_made", "-U", "postgres") == "0"
        docker("exec", finished, "sh", "-c", "! ls -A $PGDATA | grep -q first-start")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "has no password"),
        (["--env=POSTGRES_PASSWORD=a", "--env=POSTGRES_PASSWORD_FILE=/dev/null"], "keep one"),
        (["--env=POSTGRES_PASSWORD_FILE=/run/secrets/absent"], "not readable"),
        (["--env=POSTGRES_PASSWORD=a", "--volume=/etc:/var/lib/postgresql/data:ro"], "not writable"),
        (
            [
                "--env=POSTGRES_PASSWORD=a",
                "--env=PGDATA=/var/run/postgresql",
                "--volume=/etc/hostname:/var/run/postgresql/x:ro",
            ],
            "neither empty",
        ),
    ],
)
def test_postgres_says_why_it_does_not_start(images: dict[str, str], options: list[str], said: str) -> None:
    with container(images["postgres"], options=[*POSTGRES, *options]) as name:
        code, log = int(docker("wait", name)), log_of(name)
    assert code == 1
    assert said in log


def test_redis_keeps_its_data_and_takes_arguments(images: dict[str, str]) -> None:
    options = [*HARDENED, "--user=999:999"]
    with container(
        images["redis"], "redis-server", "--appendonly", "yes", "--maxmemory", "32mb", options=options
    ) as name:
        wait_for_log(name, "Ready to accept connections")
        assert docker("exec", name, "redis-cli", "config", "get", "maxmemory").split() == ["maxmemory", "33554432"]
        assert docker("exec", name, "redis-cli", "set", "key", "value") == "OK"
        from_outside = 'redis-cli -h "$(hostname -i)" get key'
        assert docker("exec", name, "sh", "-c", from_outside) == "value"
        assert seconds_to_stop(name, ["stop"]) < 1
        docker("start", name)
        wait_for_log(
            name, "Ready to accept connections", since=docker("inspect", "--format", "{{.State.StartedAt}}", name)
        )
        assert docker("exec", name, "redis-cli", "get", "key") == "value"


def test_redis_obeys_a_configuration_file(images: dict[str, str], tmp_path: Path) -> None:
    configuration = tmp_path / "redis.conf"
    configuration.write_text("maxmemory 16mb\nprotected-mode yes\n")
    options = [*HARDENED, f"--volume={configuration}:/etc/redis.conf:ro"]
    with container(images["redis"], "/etc/redis.conf", "--port", "7000", options=options) as name:
        wait_for_log(name, "Ready to accept connections")
        settings = docker(
            "exec", name, "redis-cli", "-p", "7000", "config", "get", "maxmemory", "protected-mode"
        ).split()
        # Redis answers in no particular order.
        assert dict(zip(settings[::2], settings[1::2], strict=True)) == {
            "maxmemory": "16777216",
            "protected-mode": "yes",
        }


def test_nginx_serves_as_nobody_and_resolves_upstreams(images: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "upstream.conf").write_text(
        "resolver 127.0.0.11 valid=1s;\n"
        "upstream backend { zone backend 64k; server backend:8000 resolve; }\n"
        "server { listen 8080; location / { proxy_pass http://backend; } }\n"
    )
    options = [
        *HARDENED,
        *("--tmpfs=/var/cache/nginx", "--publish=127.0.0.1::80"),
        f"--volume={tmp_path / 'upstream.conf'}:/etc/nginx/conf.d/upstream.conf:ro",
    ]
    with container(images["nginx"], options=options) as name:
        wait_for_log(name, "start worker process")
        assert docker("exec", name, "id", "-u") == "101"
        version = subprocess.run(["docker", "exec", name, "nginx", "-v"], stderr=subprocess.PIPE, text=True, check=True)
        found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", version.stderr)
        assert found and tuple(int(part) for part in found.groups()) >= (1, 27, 3)
        docker("exec", name, "nginx", "-t")
        page = subprocess.run(
            ["curl", "--silent", "--fail", f"http://{docker('port', name, '80/tcp')}/"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert "nginx" in page.stdout
        assert '"GET / HTTP/1.1" 200' in log_of(name)
        assert seconds_to_stop(name, ["kill", "--signal=TERM"]) < 1
    with container(images["nginx"], options=options) as name:
        wait_for_log(name, "start worker process")
        assert seconds_to_stop(name, ["stop"]) < 1


def test_nginx_keeps_the_libraries_of_the_stable_suite(images: dict[str, str]) -> None:
    installed = ["dpkg-query", "--show", "--showformat", "${Package}=${Version}\n"]
    nginx = dict(line.split("=", 1) for line in output(images["nginx"], *installed).splitlines())
    redis = dict(line.split("=", 1) for line in output(images["redis"], *installed).splitlines())
    moved = {package for package in nginx.keys() & redis.keys() if nginx[package] != redis[package]}
    assert moved <= {"libpcre2-8-0"}
    assert {"libc6", "libssl3t64"} <= nginx.keys()


def test_python_has_what_a_builder_needs(images: dict[str, str]) -> None:
    check = (
        "python --version && python3 -c 'import sqlite3, ssl, ctypes, lzma, zoneinfo' && pip --version"
        " && python -m venv /tmp/venv && /tmp/venv/bin/pip --version && useradd --help >/tmp/help"
    )
    assert (
        output(images["python"], "sh", "-c", check, options=["--read-only", "--tmpfs=/tmp:exec", "--user=10001"]).count(
            "(python 3."
        )
        == 2
    )


def test_node_has_npm(images: dict[str, str]) -> None:
    check = "node --version && npm --version && npx --version && corepack --version"
    options = [*HARDENED, "--user=10001", "--env=HOME=/tmp"]
    versions = output(images["node"], "sh", "-c", check, options=options).splitlines()
    assert int(versions[0].removeprefix("v").split(".")[0]) >= 20
    assert versions[1] == versions[2]


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("python", ["python", "-c", "import time; print('up', flush=True); time.sleep(600)"]),
        ("node", ["node", "-e", "console.log('up'); setInterval(() => {}, 1000)"]),
    ],
)
def test_a_program_without_a_signal_handler_ends_at_once(
    images: dict[str, str], image: str, command: list[str]
) -> None:
    with container(images[image], *command, options=[*HARDENED, "--user=10001"]) as name:
        wait_for_log(name, "up")
        assert seconds_to_stop(name, ["stop"]) < 1
