# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of compose_up, on the Engine of this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, Result, module_play, newest_image, probed, project, shell, sleeper
from playbook import LOCAL, REPOSITORY

from ansible_collections.shipshape.stack.plugins.module_utils import _release


@pytest.fixture(scope="module")
def image() -> str:
    return newest_image("shipshape/python")


@pytest.fixture
def stack(tmp_path: Path) -> t.Iterator[Project]:
    with project(tmp_path) as it:
        yield it


@dataclass(frozen=True)
class Running:
    """A project with a service of every kind, and what its first run said."""

    project: Project
    services: dict[str, t.Any]
    first: Result

    def verdict(self, service: str) -> tuple[str, str]:
        [found] = [item for item in self.first["verdicts"] if item["service"] == service]
        return found["status"], found["reason"]


@pytest.fixture(scope="module")
def running(image: str, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Running]:
    directory = tmp_path_factory.mktemp("running")
    (directory / "web.env").write_text("FROM_FILE=1\n")
    (directory / "secret").write_text("uQ7-vd2Lk0_pXz91")
    services = {
        "web": shell(
            image,
            "touch /tmp/ready; exec sleep 600",
            restart="unless-stopped",
            env_file=["web.env"],
            environment={"UNSET_HERE": None, "DOLLAR": "a$$b"},
            secrets=["token"],
            labels=["tier=front"],
            volumes=["data:/data", "./secret:/etc/secret:ro"],
            depends_on={
                "init": {"condition": "service_completed_successfully"},
                "plain": {"condition": "service_started"},
            },
            networks={"default": {"aliases": ["site"]}},
            **probed("test -e /tmp/ready"),
        ),
        "plain": sleeper(image, restart="always", deploy={"replicas": 2, "resources": {"limits": {"memory": "64M"}}}),
        "init": shell(image, "exit 0"),
        "job": shell(image, "sleep 0.3"),
        "none": sleeper(image, scale=0),
        "sidecar": sleeper(image, network_mode="service:web", restart="always"),
    }
    with project(directory) as it:
        it.declare(services, volumes={"data": {}}, secrets={"token": {"file": "./secret"}})
        yield Running(it, services, it.up())


def test_every_service_of_a_good_project_is_ready(running: Running) -> None:
    assert not running.first.get("failed"), running.first.get("msg")
    assert running.first["changed"]
    assert {item["service"]: item["action"] for item in running.first["actions"]} == {
        "web": "create",
        "plain": "create",
        "init": "create",
        "job": "create",
        "none": "unchanged",
        "sidecar": "create",
    }


def test_service_with_healthcheck_is_ready_when_healthy(running: Running) -> None:
    assert running.verdict("web") == ("ready", "healthy")


def test_service_without_healthcheck_is_ready_when_it_was_stable(running: Running) -> None:
    assert running.verdict("plain") == ("ready", "running without a restart")


def test_one_shot_that_exited_0_is_a_success(running: Running) -> None:
    assert running.verdict("job") == ("ready", "finished with code 0")


def test_one_shot_others_wait_for_is_a_success(running: Running) -> None:
    assert running.verdict("init") == ("ready", "finished with code 0")


def test_containers_are_returned_with_health_and_limits(running: Running, image: str) -> None:
    by_name = {item["name"]: item for item in running.first["containers"]}
    assert len(by_name) == 6
    assert by_name[f"{running.project.name}-plain-2"]["memory"] == 64
    assert by_name[f"{running.project.name}-web-1"] == {
        "name": f"{running.project.name}-web-1",
        "service": "web",
        "image": image,
        "state": "running",
        "health": "healthy",
        "cpus": 0,
        "memory": 0,
    }


def test_no_change_calls_nothing(running: Running) -> None:
    before, since = running.project.containers(), time.time()
    second = running.project.up()
    assert second["changed"] is False
    assert {item["action"] for item in second["actions"]} == {"unchanged"}
    assert second["verdicts"] == []
    assert running.project.containers() == before
    assert running.project.events(since) == []


def test_service_that_is_not_there_is_refused_with_those_that_are(running: Running) -> None:
    result = running.project.up(services=["wbe"])
    assert result["failed"]
    assert result["cause"] == "The project has no service named wbe."
    assert result["evidence"] == "Its services are: init, job, none, plain, sidecar, web."
    assert result["fix"]


def test_change_recreates_only_its_service_and_check_mode_tells_the_same_plan(stack: Project, image: str) -> None:
    services = {"web": sleeper(image), "db": sleeper(image), "old": sleeper(image)}
    stack.declare(services)
    assert not stack.up().get("failed")
    before = stack.containers()
    del services["old"]
    services["web"]["environment"] = {"LEVEL": "debug"}
    stack.declare(services)

    checked = stack.up("--check", "--diff")
    assert checked["changed"]
    assert stack.containers() == before
    done = stack.up("--diff")

    assert done["actions"] == checked["actions"]
    assert done["actions"] == [
        {"service": "db", "action": "unchanged", "reasons": []},
        {
            "service": "web",
            "action": "recreate",
            "reasons": ["configuration changed"],
            "strategy": "recreate: runs to its end",
        },
        {"service": "old", "action": "remove", "reasons": ["no longer part of the project"]},
    ]
    after, name = stack.containers(), stack.name
    assert set(after) == {f"{name}-web-2", f"{name}-db-1"}
    assert after[f"{name}-db-1"] == before[f"{name}-db-1"]
    assert done["diff"] == checked["diff"]
    old, new = (set(done["diff"][side].splitlines()) for side in ("before", "after"))
    assert {line.split(":")[0] for line in old - new} == {"old.image"}
    assert new - old == {'web.environment.LEVEL: "debug"'}


def test_dependent_that_compose_restarts_on_purpose_is_no_failure(stack: Project, image: str) -> None:
    needs = {"db": {"condition": "service_started", "restart": True}}
    services = {"db": sleeper(image), "web": sleeper(image, depends_on=needs)}
    stack.declare(services)
    assert not stack.up().get("failed")
    services["db"]["environment"] = {"LEVEL": "debug"}
    stack.declare(services)
    result = stack.up()
    assert not result.get("failed"), result.get("msg")
    assert stack.up()["changed"] is False


def test_scaling_keeps_the_containers_that_stay(stack: Project, image: str) -> None:
    stack.declare({"web": sleeper(image, scale=11)})
    assert not stack.up().get("failed")
    before = stack.containers()
    stack.declare({"web": sleeper(image, scale=10)})
    result = stack.up()
    assert [(item["action"], item["reasons"]) for item in result["actions"]] == [("remove", ["11 of 10 replicas"])]
    del before[f"{stack.name}-web-11"]
    assert stack.containers() == before


def failure(result: Result) -> dict[str, t.Any]:
    """Return the evidence on the one service that failed, after looking for what every failure owes."""
    assert result["failed"]
    assert "Traceback" not in result["msg"], result["msg"]
    [item] = result["failures"]
    assert item["service"] in result["cause"]
    for finding in item["findings"]:
        for part in ("cause", "evidence", "fix"):
            assert finding[part]
            assert finding[part] in result["msg"]
    return t.cast("dict[str, t.Any]", item)


def last_event(stack: Project, kind: str) -> float:
    """Return when something happened to a container of the project for the last time."""
    found = docker(
        *("events", "--since", "5m", "--until", f"{time.time():.6f}", "--format", "{{.TimeNano}}"),
        *("--filter", f"label=com.docker.compose.project={stack.name}", "--filter", f"event={kind}"),
    )
    return int(found.split()[-1]) / 1e9


def test_one_shot_that_exited_1_is_a_failure(stack: Project, image: str) -> None:
    stack.declare({"job": shell(image, "echo no such order >&2; exit 3"), "web": sleeper(image)})
    found = failure(stack.up())
    assert found["verdict"] == "exited with code 3"
    assert found["exit_code"] == 3
    assert found["findings"][0]["evidence"] == "no such order"


def test_failed_one_shot_others_wait_for_is_named_with_its_log(stack: Project, image: str) -> None:
    needs = {"init": {"condition": "service_completed_successfully"}}
    stack.declare({"init": shell(image, "echo no schema >&2; exit 4"), "web": sleeper(image, depends_on=needs)})
    found = failure(stack.up())
    assert (found["service"], found["verdict"]) == ("init", "exited with code 4")
    assert found["findings"][0]["evidence"] == "no schema"


def test_crash_loop_without_healthcheck_is_a_failure_with_its_second_exit(stack: Project, image: str) -> None:
    crash = "echo 'ValueError: bad setting'; exit 7"
    stack.declare({"web": shell(image, crash, restart="unless-stopped"), "db": sleeper(image)})
    started = time.time()
    found = failure(stack.up(stable_for=10, wait_timeout=60))
    assert time.time() - started < 10
    assert found["verdict"] == "is in a crash loop: it exited 2 times, last with code 7"
    assert found["findings"][0]["evidence"] == "ValueError: bad setting"


def test_service_restarted_on_failure_may_fail_once(stack: Project, image: str) -> None:
    once = "test -e /data/seen && exec sleep 600; touch /data/seen; exit 1"
    stack.declare({"web": shell(image, once, restart="on-failure", volumes=["data:/data"])}, volumes={"data": {}})
    result = stack.up()
    assert not result.get("failed"), result.get("msg")


def test_unhealthy_is_a_failure_at_once_with_the_output_of_the_probe(stack: Project, image: str) -> None:
    stack.declare({"web": sleeper(image, restart="always", **probed("echo table users is missing; exit 1"))})
    found = failure(stack.up(wait_timeout=60))
    assert time.time() - last_event(stack, "health_status") < 5
    assert "unhealthy" in found["verdict"]
    assert found["probes"][-1] == "exit 1: table users is missing"
    assert found["findings"][0]["evidence"] == "exit 1: table users is missing"


def test_unhealthy_service_of_an_earlier_run_is_a_failure_again(stack: Project, image: str) -> None:
    stack.declare({"web": sleeper(image, restart="always", **probed("exit 1"))})
    assert failure(stack.up())["service"] == "web"
    assert "unhealthy" in failure(stack.up())["verdict"]


def test_service_that_never_gets_healthy_is_a_timeout_of_its_own_healthcheck(stack: Project, image: str) -> None:
    slow = probed("exit 1", start_period="60s", start_interval="5s")
    stack.declare({"web": sleeper(image, restart="always", **slow)})
    found = failure(stack.up(wait_timeout=2))
    assert re.match(r"is still running \(starting\)", found["verdict"])


def test_memory_kill_is_named_with_the_setting_to_raise(stack: Project, image: str) -> None:
    eat = {"image": image, "command": ["python3", "-c", "x = bytearray(200 * 1024 * 1024)"], "restart": "always"}
    stack.declare({"web": {**eat, "mem_limit": "16M", "memswap_limit": "16M", "stop_grace_period": "0s"}})
    found = failure(stack.up())
    assert "memory limit" in found["findings"][0]["cause"]
    assert "stack_services.web.memory" in found["findings"][0]["fix"]


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (["/etc/hostname"], "The command or entrypoint is not executable."),
        (["/nope"], "The command or entrypoint does not exist in the image."),
        (["nope"], "The command or entrypoint does not exist in the image."),
    ],
)
def test_command_that_cannot_be_started_is_named(stack: Project, image: str, command: list[str], cause: str) -> None:
    stack.declare({"web": {"image": image, "entrypoint": command, "restart": "unless-stopped"}})
    found = failure(stack.up())
    assert found["verdict"] == "could not be started"
    assert found["findings"][0]["cause"] == cause
    assert command[0] in found["findings"][0]["evidence"]


def test_busy_port_is_named(stack: Project, image: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        stack.declare({"web": sleeper(image, ports=[f"{port}:80"], restart="always")})
        found = failure(stack.up())
    assert found["findings"][0]["cause"] == "A port the service needs is taken."
    assert str(port) in found["findings"][0]["evidence"]


def test_missing_image_is_named(stack: Project, image: str) -> None:
    stack.declare({"web": {"image": "localhost:9/shipshape-nowhere:1"}, "db": sleeper(image)})
    result = stack.up()
    assert result["failed"]
    assert "The image is not on this host" in result["cause"]
    assert "localhost:9" in result["evidence"]
    assert result["fix"]


def test_broken_yaml_is_named_with_its_file_and_line(stack: Project) -> None:
    (stack.directory / "compose.yaml").write_text("services:\n  web:\n    image: [\n")
    result = stack.up()
    assert result["failed"]
    assert result["cause"] == f"Compose cannot read the project in {stack.directory}."
    assert "line" in result["evidence"]
    assert result["fix"]


def test_missing_project_is_named(tmp_path: Path) -> None:
    result = Project(tmp_path / "gone").up()
    assert result["cause"] == f"The project directory {tmp_path}/gone does not exist."


def test_project_without_docker_yet_is_no_failure_in_check_mode(tmp_path: Path) -> None:
    result = Project(tmp_path / "gone").up("--check")
    assert result["changed"]
    assert not result.get("failed")


def test_lock_of_a_live_process_is_named_and_nothing_is_touched(stack: Project, image: str) -> None:
    stack.declare({"web": sleeper(image)})
    with _release.project_lock(stack.name):
        result = stack.up()
    assert result["cause"] == "Another deploy of this project is running on this host."
    assert f"pid {os.getpid()} on " in result["evidence"]
    assert stack.containers() == {}


def test_deploy_killed_half_way_lets_go_of_the_lock_and_the_next_one_converges(stack: Project, image: str) -> None:
    ready = probed("test -e /data/go", start_period="30s")
    needs = {"db": {"condition": "service_healthy"}}
    services = {"db": sleeper(image, volumes=["data:/data"], **ready), "web": sleeper(image, depends_on=needs)}
    stack.declare(services, volumes={"data": {}})
    name = f"{stack.name}-db-1"
    arguments = {"project_src": str(stack.directory), "wait_timeout": 60}
    deploy = start(module_play("compose_up", arguments), stack.directory)
    wait_for_event(name, "start")
    os.kill(lock_holder(stack), signal.SIGKILL)
    deploy.communicate()
    docker("exec", name, "touch", "/data/go")
    result = stack.up()
    assert not result.get("failed"), result.get("msg")
    assert set(stack.containers()) == {name, f"{stack.name}-web-1"}
    assert stack.up()["changed"] is False


def start(play: dict[str, t.Any], directory: Path) -> subprocess.Popen[bytes]:
    """Start a play on this machine."""
    (directory / "play.json").write_text(json.dumps([play]))
    (directory / "inventory.json").write_text(json.dumps({"all": {"hosts": {"localhost": LOCAL}}}))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return subprocess.Popen(
        [program, "-i", str(directory / "inventory.json"), str(directory / "play.json")],
        cwd=REPOSITORY,
        env=os.environ | {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_event(container: str, kind: str) -> None:
    """Return when something has happened to a container, be it before the call or within 30 s of it."""
    until = f"{time.time() + 30:.0f}"
    argv = ["docker", "events", "--since", "1m", "--until", until, "--filter", f"event={kind}"]
    with subprocess.Popen([*argv, "--filter", f"container={container}"], stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        assert events.stdout.readline(), f"{container} did not {kind}"
        events.terminate()


def lock_holder(stack: Project) -> int:
    """Return the process that deploys the project now, by its own word in the lock."""
    with pytest.raises(_release.StackError) as raised, _release.project_lock(stack.name):
        pass
    found = re.match(r"pid (\d+) ", raised.value.evidence)
    assert found
    return int(found[1])
