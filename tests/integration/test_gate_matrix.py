# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which a release can be bad: it is named, the old one serves on, and the next good one is deployed."""

from __future__ import annotations

import http.server
import io
import re
import socket
import tarfile
import threading
import typing as t
from dataclasses import dataclass, field

import pytest
from hosts import docker
from modules import Result, probed, shell
from rollout import PORT, Site, Watch, action, good, serving

UNTOUCHED = "its old container, untouched"
SWITCHED_BACK = "its old container, switched back"
STARTED_AGAIN = "its old container, started again"


@dataclass(frozen=True)
class Bad:
    """A release that is bad: what its backend says otherwise, and what has to be said of it.

    ``verdict``, ``cause`` and ``evidence`` are regular expressions for the gate's findings; ``serving`` is what
    the result says of the backend.
    """

    name: str
    backend: dict[str, t.Any]
    verdict: str
    cause: str
    evidence: str
    serving: str = UNTOUCHED
    arguments: dict[str, t.Any] = field(default_factory=dict)


def command(line: str, **more: t.Any) -> dict[str, t.Any]:
    """Return what makes the backend run a shell command instead, with no healthcheck."""
    return {**shell("", line), "healthcheck": {"disable": True}, **more}


NO_PATTERN = "No known pattern matches"
FLAPPING = "n=$(cat /tmp/n 2>/dev/null || echo 0); echo $((n + 1)) >/tmp/n; echo asked $n times; test $((n % 3)) = 0"
EAT = "x = bytearray(200 * 1024 * 1024)"
EAT_LATER = f"python3 -S -c 'import time; time.sleep(1.5); {EAT}' & exec \"$@\""
SMALL = {"mem_limit": "32M", "memswap_limit": "32M"}

BEFORE_THE_SWITCH = [
    Bad(
        "crash at once",
        command("echo 'KeyError: DATABASE'; exit 7"),
        "crash loop: it exited 2 times, last with code 7",
        "an error of its own",
        "KeyError: DATABASE",
    ),
    Bad(
        "crash after two seconds",
        command("sleep 2; echo 'cannot go on'; exit 7", restart="no"),
        "exited with code 7",
        NO_PATTERN,
        "cannot go on",
        arguments={"stable_for": 5},
    ),
    Bad(
        "crash loop every two seconds",
        command("sleep 2; echo 'cannot go on'; exit 7"),
        "crash loop: it exited 2 times, last with code 7",
        NO_PATTERN,
        "cannot go on",
        arguments={"stable_for": 5},
    ),
    Bad(
        "end without an error",
        command("echo 'nothing to serve'", restart="no"),
        "exited with code 0",
        NO_PATTERN,
        "nothing to serve",
    ),
    Bad(
        "unhealthy",
        probed("echo table users is missing; exit 1"),
        "unhealthy",
        NO_PATTERN,
        "exit 1: table users is missing",
    ),
    Bad(
        "never healthy",
        probed("echo still loading; exit 1", start_period="60s"),
        r"is still running \(starting\) at the end of wait_timeout",
        NO_PATTERN,
        "exit 1: still loading",
        arguments={"wait_timeout": 2},
    ),
    Bad(
        "memory",
        {**SMALL, "command": ["python3", "-S", "-c", EAT]},
        "memory limit|crash loop",
        "memory limit",
        "OOMKilled: true",
    ),
    Bad(
        "not executable",
        {"entrypoint": ["/etc/hostname"]},
        "could not be started",
        "not executable",
        "/etc/hostname.*permission denied",
    ),
    Bad(
        "CRLF",
        {"entrypoint": ["/start.sh"], "volumes": ["./start.sh:/start.sh:ro"]},
        "could not be started|crash loop",
        "does not exist in the image",
        "/start.sh.*no such file or directory",
    ),
    Bad(
        "disk full",
        command("head -c 300000 /dev/zero >/data/index || exit 1", tmpfs=["/data:size=64k"]),
        "crash loop",
        "The disk is full",
        "No space left on device",
    ),
]
AFTER_THE_SWITCH = [
    Bad(
        "dead under load",
        {"command": serving("bad", "3")},
        r"exited with code 7 \d\.\d s after it was ready|crash loop",
        "an error of its own",
        "RuntimeError: too many requests",
        SWITCHED_BACK,
    ),
    Bad(
        "dead later",
        {"command": ["timeout", "3", *serving("bad")]},
        r"exited with code 124 \d\.\d s after it was ready",
        NO_PATTERN,
        "GET / HTTP",
        SWITCHED_BACK,
        {"stable_for": 5},
    ),
    Bad(
        "flapping health",
        {**probed(FLAPPING), "command": serving("bad")},
        "unhealthy",
        NO_PATTERN,
        "asked . times",
        SWITCHED_BACK,
        {"stable_for": 3},
    ),
    Bad(
        "memory later",
        {**SMALL, "command": ["sh", "-c", EAT_LATER.replace("$", "$$"), "sh", *serving("bad")]},
        "memory limit",
        "memory limit",
        "OOMKilled: true",
        SWITCHED_BACK,
        {"stable_for": 5},
    ),
]
DOWN_FOR_A_MOMENT = [
    Bad(
        "volume of another user",
        command("echo 1 >/data/index || exit 1", user="1000:1000", volumes=["data:/data"]),
        "crash loop",
        "not accessible to the service's unprivileged user",
        "Permission denied",
        STARTED_AGAIN,
    ),
]


def named(cases: list[Bad]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bad", cases, ids=lambda bad: bad.name.replace(" ", "-"))


def release_of(site: Site, bad: Bad) -> dict[str, t.Any]:
    """Return the backend of a bad release."""
    (site.project.directory / "start.sh").write_bytes(b"#!/bin/sh\r\nexec sleep 600\r\n")
    (site.project.directory / "start.sh").chmod(0o755)
    return {**site.backend("bad"), **bad.backend, "image": site.python}


def is_named(result: Result, bad: Bad) -> None:
    """Look whether a failed result says what has to be said: cause, evidence, fix, and what serves."""
    assert result["failed"]
    assert "Traceback" not in result["msg"], result["msg"]
    [item] = result["failures"]
    assert item["service"] == "backend"
    assert re.search(bad.verdict, item["verdict"]), item["verdict"]
    first = item["findings"][0]
    assert re.search(bad.cause, first["cause"]), result["msg"]
    assert re.search(bad.evidence, first["evidence"]), result["msg"]
    assert first["fix"]
    for part in (first["cause"], first["evidence"], first["fix"], f"backend is served by {bad.serving}."):
        assert part in result["msg"]
    assert result["serving"] == {"backend": bad.serving}


@named(BEFORE_THE_SWITCH)
def test_bad_release_gets_no_request_and_the_old_one_misses_none(site: Site, bad: Bad) -> None:
    before, files, version = site.project.containers(), site.files(), site.ask()
    site.declare(release_of(site, bad), volumes={"data": {}})
    with Watch(site) as watch:
        result = site.deploy(**bad.arguments)
    is_named(result, bad)
    assert watch.losses == []
    assert set(watch.versions) == {version}
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


@named(AFTER_THE_SWITCH)
def test_release_that_falls_after_the_switch_is_switched_back(site: Site, bad: Bad) -> None:
    before, files, version = site.project.containers(), site.files(), site.ask()
    site.declare(release_of(site, bad))
    with Watch(site) as watch:
        result = site.deploy(**bad.arguments)
    is_named(result, bad)
    assert watch.losses == []
    assert watch.versions[version]
    assert watch.versions["bad"]
    assert site.ask() == version
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


@named(DOWN_FOR_A_MOMENT)
def test_old_container_that_had_to_stop_is_started_again(site: Site, bad: Bad) -> None:
    before, version = site.project.containers(), site.ask()
    site.declare(release_of(site, bad), volumes={"data": {}})
    is_named(site.deploy(**bad.arguments), bad)
    site.answers(version)
    assert site.project.containers() == before
    site.converges()


def test_busy_port_of_a_release_is_named_and_the_old_container_serves_again(site: Site) -> None:
    before, version = site.project.containers(), site.ask()
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        site.declare(site.backend("bad", ports=[f"{port}:{PORT}"]))
        result = site.deploy()
    wanted = Bad("", {}, "could not be started", "A port the service needs is taken", str(port), STARTED_AGAIN)
    is_named(result, wanted)
    site.answers(version)
    assert site.project.containers() == before
    site.converges()


def test_service_without_a_healthcheck_is_rolled_when_it_was_stable(site: Site) -> None:
    site.declare(site.backend("quiet", healthcheck={"disable": True}))
    with Watch(site) as watch:
        result = good(site.deploy())
    assert {"service": "backend", "status": "ready", "reason": "running without a restart"} in result["verdicts"]
    assert watch.losses == []
    assert site.ask() == "quiet"
    site.converges()


def refused(site: Site, cause: str, evidence: str, **more: t.Any) -> Result:
    """Deploy what cannot even be made; the old containers are not touched. Return the result."""
    before, files, version = site.project.containers(), site.files(), site.ask()
    with Watch(site) as watch:
        result = site.deploy(**more)
    assert result["failed"]
    assert "Traceback" not in result["msg"], result["msg"]
    assert re.search(cause, result["cause"]), result["msg"]
    assert re.search(evidence, result["evidence"]), result["msg"]
    assert result["fix"]
    assert watch.losses == []
    assert set(watch.versions) == {version}
    assert site.project.containers() == before
    assert site.files() == files
    return result


def test_missing_image_is_named_and_nothing_is_touched(site: Site) -> None:
    site.declare(site.backend("bad", image="localhost:9/shipshape-nowhere:1"))
    refused(site, "The image is not on this host", "localhost:9")
    site.converges()


class Closed(http.server.BaseHTTPRequestHandler):
    """A registry that gives nothing away."""

    def do_GET(self) -> None:
        self.send_response(403 if "manifests" in self.path else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: t.Any) -> None:
        """Say nothing."""


def test_refused_pull_is_named_and_nothing_is_touched(site: Site) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed) as registry:
        threading.Thread(target=registry.serve_forever).start()
        try:
            site.declare(site.backend("bad", image=f"127.0.0.1:{registry.server_port}/shop/backend:1"))
            refused(site, "image", "denied|403|unauthorized|forbidden")
        finally:
            registry.shutdown()
    site.converges()


@pytest.fixture
def foreign_image(site: Site) -> t.Iterator[str]:
    """An image whose only program is for another machine: an ELF header of one that nobody builds any more."""
    name = f"{site.project.name}/foreign:1"
    header = b"\x7fELF\x01\x02\x01" + bytes(9) + b"\x00\x02\x00\x2a" + bytes(32)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        program = tarfile.TarInfo("app")
        program.size, program.mode = len(header), 0o755
        tar.addfile(program, io.BytesIO(header))
    path = site.project.directory / "foreign.tar"
    path.write_bytes(archive.getvalue())
    docker("import", "--platform", "linux/arm64", "--change", 'ENTRYPOINT ["/app"]', str(path), name)
    yield name
    docker("rmi", "--force", name)


def test_image_of_another_architecture_is_named(site: Site, foreign_image: str) -> None:
    before, version = site.project.containers(), site.ask()
    site.declare({"image": foreign_image, "restart": "unless-stopped"})
    result = site.deploy()
    is_named(result, Bad("", {}, "crash loop|could not be started", "another architecture", "exec format error"))
    assert site.project.containers() == before
    assert site.ask() == version
    site.converges()


def test_project_that_cannot_be_read_is_named_and_nothing_is_touched(site: Site) -> None:
    needs, back = {"nginx": {"condition": "service_started"}}, {"backend": {"condition": "service_started"}}
    site.declare(site.backend("bad", env_file=["missing.env"]))
    refused(site, "Compose cannot read the project", r"missing\.env")
    site.declare(site.backend("bad", depends_on=needs), site.edge(depends_on=back))
    refused(site, "Compose cannot read the project", "cycle")
    (site.project.directory / "compose.yaml").write_text("services:\n  backend:\n    image: [\n")
    refused(site, "Compose cannot read the project", "line")
    site.converges()


def test_network_that_overlaps_is_named_and_nothing_is_touched(site: Site) -> None:
    [taken] = docker(
        "network", "inspect", f"{site.project.name}_default", "--format", "{{range .IPAM.Config}}{{.Subnet}}{{end}}"
    ).split()
    networks = {"default": {}, "data": {"ipam": {"config": [{"subnet": taken}]}}}
    site.declare(site.backend("bad", networks=["default", "data"]), networks=networks)
    refused(site, "could not bring the project up", "[Pp]ool overlaps")
    site.converges()


def test_engine_that_does_not_answer_is_named(site: Site) -> None:
    socket_path = f"unix://{site.project.directory}/nobody.sock"
    refused(site, "The Docker Engine does not answer", "nobody|No such file", environment={"DOCKER_HOST": socket_path})


FINISHED = {"migrate": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize(
    ("line", "verdict"),
    [("echo no such column >&2; exit 4", "exited with code 4"), ("exec sleep 600", "is still running")],
    ids=["exits-with-4", "hangs"],
)
def test_one_shot_that_fails_keeps_the_release_from_starting(site: Site, line: str, verdict: str) -> None:
    before, version = site.project.containers(), site.ask()
    site.declare(site.backend("bad", depends_on=FINISHED), others={"migrate": shell(site.python, line)})
    with Watch(site) as watch:
        result = site.deploy(wait_timeout=4)
    [failure] = result["failures"]
    assert failure["service"] == "migrate"
    assert verdict in failure["verdict"]
    assert result["serving"]["backend"] == UNTOUCHED
    assert set(watch.versions) == {version}
    assert watch.losses == []
    assert site.project.containers() == before
    site.converges()


def test_one_shot_that_succeeds_runs_once_before_the_release_and_not_again(site: Site) -> None:
    one_shot = {"migrate": shell(site.python, "echo done >>/data/runs", volumes=["data:/data"])}
    volumes: dict[str, t.Any] = {"data": {}}
    for version in ("one", "two"):
        site.declare(site.backend(version, depends_on=FINISHED), others=one_shot, volumes=volumes)
        good(site.deploy())
        assert site.ask() == version
    runs = docker("run", "--rm", "--volume", f"{site.project.name}_data:/data", site.python, "cat", "/data/runs")
    assert runs.split() == ["done"]
    site.converges()


def test_one_shot_that_compose_ran_is_adopted_and_not_run_again(site: Site) -> None:
    version = site.declare_next(others={"migrate": shell(site.python, "exit 0")})
    docker("compose", "--project-directory", str(site.project.directory), "up", "--detach", "--quiet-pull")
    site.answers(version)
    before = site.project.containers()
    result = good(site.deploy())
    assert (action(result, "migrate"), action(result, "backend")) == ("unchanged", "unchanged")
    site.is_settled()
    assert site.project.containers() == before
    site.converges()
