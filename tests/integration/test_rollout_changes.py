# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes other than a new release: replicas, profiles, services that go, hands on containers, data, strategies."""

from __future__ import annotations

import json
import socket
import threading
import time
import typing as t
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, Result, newest_image, probed, project, shell, sleeper
from rollout import PORT, Site, Watch, action, good, serving, up


def test_replicas_come_and_go_without_a_lost_request(site: Site) -> None:
    version = site.ask()
    first = site.backends()
    for replicas in (3, 1):
        site.declare(site.backend(version, scale=replicas))
        with Watch(site) as watch:
            result = good(site.deploy())
        assert watch.losses == []
        assert set(watch.versions) == {version}
        assert set(first.items()) <= set(site.backends().items())
        listed = (site.edge_files / "servers/backend.conf").read_text()
        assert {name for name in site.backends() if f"server {name}:" in listed} == set(site.backends())
        assert listed.count("server ") == replicas + 1
        assert action(result, "backend") == {3: "create", 1: "remove"}[replicas]
        site.is_settled(backends=replicas)


def test_all_replicas_are_rolled(site: Site) -> None:
    site.declare(site.backend("many", scale=2))
    good(site.deploy())
    old = site.backends()
    site.declare(site.backend("more", scale=2))
    with Watch(site) as watch:
        good(site.deploy())
    assert watch.losses == []
    assert set(watch.versions) == {"many", "more"}
    assert not set(site.backends().values()) & set(old.values())
    site.is_settled(backends=2)
    site.converges()


def test_service_of_a_profile_goes_when_it_is_switched_off(site: Site) -> None:
    before = site.project.containers()
    extra = {"shell": sleeper(site.python, profiles=["debug"])}
    site.declare(site.backend(site.ask()), others=extra)
    good(site.deploy(profiles=["debug"]))
    assert set(site.project.containers()) - set(before) == {f"{site.project.name}-shell-1"}
    result = good(site.deploy())
    assert action(result, "shell") == "remove"
    assert site.project.containers() == before
    site.is_settled()


def killed(site: Site, name: str) -> None:
    docker("update", "--restart", "no", name)
    docker("kill", name)


def paused(site: Site, name: str) -> None:
    docker("pause", name)


def removed(site: Site, name: str) -> None:
    docker("rm", "--force", name)


def renamed(site: Site, name: str) -> None:
    docker("rename", name, f"{name}-by-hand")


@pytest.mark.parametrize(
    ("hand", "release", "expected"),
    [
        (killed, "same", "start"),
        (killed, "next", "roll"),
        (paused, "same", "start"),
        (paused, "next", "roll"),
        (removed, "same", "create"),
        (renamed, "same", "unchanged"),
        (renamed, "next", "roll"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_a_hand_did_to_the_container_is_put_right(
    site: Site, hand: t.Callable[[Site, str], None], release: str, expected: str
) -> None:
    [name] = site.backends()
    version = site.ask() if release == "same" else site.declare_next()
    site.declare(site.backend(version))
    hand(site, name)
    result = good(site.deploy())
    assert action(result, "backend") == expected
    site.answers(version)
    site.is_settled()


def test_compose_by_hand_after_a_rollout_keeps_everything(site: Site) -> None:
    site.converges()
    before = site.project.containers()
    with Watch(site) as watch:
        docker("compose", "--project-directory", str(site.project.directory), "up", "--detach", "--wait")
    assert watch.losses == []
    assert site.project.containers() == before
    site.is_settled()


def test_strategy_of_the_option_goes_before_the_choice(site: Site) -> None:
    old = site.backends()
    version = site.declare_next()
    result = good(site.deploy(strategies={"backend": "recreate"}))
    assert [item["strategy"] for item in result["actions"] if item["service"] == "backend"] == [
        "recreate: as asked for"
    ]
    site.answers(version)
    assert not set(site.backends().values()) & set(old.values())
    site.is_settled()


def test_failed_recreation_starts_the_old_container_again(site: Site) -> None:
    before, version = site.project.containers(), site.ask()
    site.declare(site.backend("bad", command=["sh", "-c", "echo 'KeyError: X'; exit 3"]))
    result = site.deploy(strategies={"backend": "recreate"})
    assert result["serving"] == {"backend": "its old container, started again"}
    site.answers(version)
    assert site.project.containers() == before
    site.converges()


# Services without an edge


@pytest.fixture(scope="module")
def image() -> str:
    return newest_image("shipshape/python")


@pytest.fixture
def stack(tmp_path: Path) -> t.Iterator[Project]:
    with project(tmp_path) as it:
        yield it


@dataclass(frozen=True)
class Changed:
    """A project before and after a change of every service."""

    project: Project
    before: dict[str, str]
    after: dict[str, str]
    result: Result

    def fate(self, service: str) -> str:
        """Return what the plan did to a service, and how."""
        [found] = [item for item in self.result["actions"] if item["service"] == service]
        return f"{found['action']}: {found['strategy']}"

    def is_new(self, name: str) -> bool:
        return name in self.after and self.after[name] not in self.before.values()


@pytest.fixture(scope="module")
def changed(image: str, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Changed]:
    def services(level: str, name: str) -> dict[str, t.Any]:
        keep = "echo $LEVEL >>/data/seen; exec sleep 600"
        environment = {"environment": {"LEVEL": level}}
        return {
            "fixed": sleeper(image, container_name=f"{name}-by-name", **environment),
            "anonymous": shell(image, keep, volumes=["/data"], **environment),
            "volume": shell(image, keep, volumes=["data:/data"], **environment),
            "leader": sleeper(image, **environment),
            "sidecar": sleeper(image, network_mode="service:leader", restart="always"),
            "dependent": sleeper(image, depends_on={"leader": {"condition": "service_started", "restart": True}}),
            "bystander": sleeper(image, depends_on={"leader": {"condition": "service_started"}}),
        }

    with project(tmp_path_factory.mktemp("changed")) as it:
        it.declare(services("one", it.name), volumes={"data": {}})
        good(up(it))
        before = it.containers()
        it.declare(services("two", it.name), volumes={"data": {}})
        result = good(up(it))
        yield Changed(it, before, it.containers(), result)


def test_change_of_everything_is_followed_by_no_change(changed: Changed) -> None:
    again = good(up(changed.project))
    assert again["changed"] is False, again["actions"]
    assert changed.project.containers() == changed.after
    assert len(changed.after) == 7


def test_service_with_a_name_of_its_own_is_recreated_under_it(changed: Changed) -> None:
    name = f"{changed.project.name}-by-name"
    assert changed.fate("fixed") == f"recreate: recreate: has the fixed container_name {name}"
    assert changed.is_new(name)


@pytest.mark.parametrize("service", ["anonymous", "volume"])
def test_data_is_kept_when_its_container_is_recreated(changed: Changed, service: str) -> None:
    [name] = [name for name in changed.after if f"-{service}-" in name]
    assert changed.is_new(name)
    assert docker("exec", name, "cat", "/data/seen").split() == ["one", "two"]


def test_sidecar_follows_the_container_whose_network_it_shares(changed: Changed) -> None:
    [sidecar] = [name for name in changed.after if "-sidecar-" in name]
    [leader] = [name for name in changed.after if "-leader-" in name]
    mode = docker("inspect", sidecar, "--format", "{{.HostConfig.NetworkMode}}")
    assert mode == f"container:{changed.after[leader]}"


def test_dependent_that_asks_for_it_follows_its_dependency_and_others_stay(changed: Changed) -> None:
    [dependent] = [name for name in changed.after if "-dependent-" in name]
    assert changed.is_new(dependent)
    bystander = f"{changed.project.name}-bystander-1"
    assert changed.after[bystander] == changed.before[bystander]


@pytest.mark.parametrize("place", ["label", "option"])
def test_strategy_that_cannot_be_is_refused_with_the_reason(stack: Project, image: str, place: str) -> None:
    label = {"labels": {"shipshape.stack.strategy": "rolling"}} if place == "label" else {}
    stack.declare({"web": sleeper(image, ports=["127.0.0.1:0:80", "127.0.0.1:18765:81"], **label)})
    result = up(stack, strategies={"web": "rolling"} if place == "option" else {})
    assert result["failed"]
    assert result["cause"] == "The service web cannot be rolling."
    assert "publishes host port" in result["evidence"]
    assert "shipshape.stack.strategy" in result["fix"]
    assert stack.containers() == {}


def test_service_without_an_edge_is_rolled_when_its_label_asks_for_it(stack: Project, image: str) -> None:
    label = {"labels": {"shipshape.stack.strategy": "rolling"}}
    for level in ("one", "two"):
        stack.declare({"web": sleeper(image, environment={"LEVEL": level}, **label)})
        since = time.time()
        result = good(up(stack))
    assert action(result, "web") == "roll"
    kinds = [line.split()[0] for line in stack.events(since)]
    assert kinds.index("start") < kinds.index("die")
    assert up(stack)["changed"] is False


@dataclass(frozen=True)
class Ports:
    """Two services that publish a port of the host each, and say which of them answers there."""

    project: Project
    image: str
    first: int
    second: int

    def declare(self, a: int, b: int, bad: str = "") -> None:
        """Give each a port; a bad one takes it and never becomes healthy."""
        ready = {"healthcheck": {"test": ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"], **PACE}}
        one = {"image": self.image, "stop_grace_period": "1s", **ready}
        self.project.declare(
            {
                name: {
                    **one,
                    "command": serving(name),
                    "ports": [f"127.0.0.1:{port}:{PORT}"],
                    **(probed("echo broken; exit 1") if name == bad else {}),
                }
                for name, port in (("a", a), ("b", b))
            }
        )

    def served(self) -> list[str]:
        """Return who answers on the first port and who on the second."""
        answers = []
        for port in (self.first, self.second):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as answer:
                answers.append(str(json.load(answer)["service"]))
        return answers


PACE = {"interval": "1s", "timeout": "5s", "start_period": "20s", "start_interval": "200ms"}


@pytest.fixture
def ports(stack: Project, image: str) -> Ports:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        it = Ports(stack, image, one.getsockname()[1], other.getsockname()[1])
    it.declare(it.first, it.second)
    good(up(stack))
    assert it.served() == ["a", "b"]
    return it


def test_host_ports_are_swapped_between_two_services(ports: Ports) -> None:
    ports.declare(ports.second, ports.first)
    result = good(up(ports.project))
    assert (action(result, "a"), action(result, "b")) == ("recreate", "recreate")
    assert ports.served() == ["b", "a"]
    assert up(ports.project)["changed"] is False


@pytest.mark.parametrize("bad", ["a", "b"])
def test_swap_of_host_ports_that_fails_is_taken_back_as_a_whole(ports: Ports, bad: str) -> None:
    before = ports.project.containers()
    ports.declare(ports.second, ports.first, bad)
    result = up(ports.project)
    [failure] = result["failures"]
    assert (failure["service"], failure["findings"][0]["evidence"]) == (bad, "exit 1: broken")
    assert result["serving"] == dict.fromkeys(["a", "b"], "its old container, started again")
    assert ports.served() == ["a", "b"]
    assert ports.project.containers() == before
    ports.declare(ports.second, ports.first)
    good(up(ports.project))
    assert ports.served() == ["b", "a"]


WORKER = """
import os, signal, sys, time
from pathlib import Path
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
queue = Path("/queue")
while not stopping:
    for task in sorted(queue.glob("*.new")):
        mine = task.with_suffix(".taken")
        try:
            task.rename(mine)
        except FileNotFoundError:
            continue
        time.sleep(0.7)
        with mine.with_suffix(".done").open("a") as done:
            done.write(os.environ["VERSION"] + "\\n")
        mine.unlink()
        break
    else:
        time.sleep(0.05)
print("warm shutdown", flush=True)
"""


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_worker_finishes_its_task_and_none_is_lost_or_done_twice(stack: Project, image: str, strategy: str) -> None:
    queue = stack.directory / "queue"
    queue.mkdir()

    def declare(version: str) -> None:
        stack.declare(
            {
                "worker": {
                    "image": image,
                    "command": ["python3", "-S", "-c", WORKER],
                    "environment": {"VERSION": version},
                    "volumes": [f"{queue}:/queue"],
                    "restart": "unless-stopped",
                    "stop_grace_period": "10s",
                }
            }
        )

    declare("old")
    good(up(stack))
    over = threading.Event()
    sent: list[str] = []

    def produce() -> None:
        # Faster than one worker is: one is always busy.
        while not over.wait(0.4):
            sent.append(f"{len(sent):03}")
            (queue / f"{sent[-1]}.new").touch()

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        wait_until(lambda: bool(list(queue.glob("*.done"))))
        declare("new")
        good(up(stack, strategies={"worker": strategy}))
    finally:
        over.set()
        producer.join()
    wait_until(lambda: len(list(queue.glob("*.done"))) == len(sent))
    done = {path.stem: path.read_text().split() for path in queue.glob("*.done")}
    assert set(done) == set(sent)
    assert {len(by) for by in done.values()} == {1}
    assert {by for [by] in done.values()} == {"old", "new"}
    assert {path.suffix for path in queue.iterdir()} == {".done"}


def wait_until(condition: t.Callable[[], bool]) -> None:
    """Look until something holds that nothing tells of."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError("not within 30 s")
