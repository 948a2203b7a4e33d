# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of compose_up prints exactly what the real run after it does."""

from __future__ import annotations

import copy
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, newest_image, project, sleeper

Services = dict[str, t.Any]


@dataclass(frozen=True)
class Stack:
    """A project that runs, and the definitions it was made from."""

    project: Project
    services: Services

    def declare(self, services: Services) -> None:
        self.project.declare(services, volumes={"data": {}})

    def named(self, service: str) -> str:
        """Return the name of the first container of a service."""
        return next(name for name in self.project.containers() if f"-{service}-" in name)


def change(service: str, **values: t.Any) -> t.Callable[[Stack], None]:
    """Return a step that declares a service with other values."""

    def step(stack: Stack) -> None:
        services = copy.deepcopy(stack.services)
        services[service] |= values
        stack.declare(services)

    return step


def by_hand(*command: str, service: str = "web") -> t.Callable[[Stack], None]:
    """Return a step that does something to a container with the docker CLI."""
    return lambda stack: print(docker(*command, stack.named(service)))


def without(service: str) -> t.Callable[[Stack], None]:
    def step(stack: Stack) -> None:
        stack.declare({name: definition for name, definition in stack.services.items() if name != service})

    return step


def moved_port(stack: Stack) -> None:
    services = copy.deepcopy(stack.services)
    services["renamed"] = services.pop("port")
    stack.declare(services)


CASES: dict[str, tuple[t.Callable[[Stack], None], dict[str, str]]] = {
    "nothing": (lambda stack: None, {}),
    "environment": (change("web", environment={"LEVEL": "debug"}), {"web": "recreate"}),
    "strategy": (
        change("web", labels={"shipshape.stack.strategy": "rolling"}, environment={"LEVEL": "info"}),
        {"web": "roll"},
    ),
    "volume": (change("data", environment={"LEVEL": "debug"}), {"data": "recreate"}),
    "more replicas": (change("web", scale=3), {"web": "create"}),
    "no replicas": (change("web", scale=0), {"web": "remove"}),
    "fewer replicas": (change("pair", scale=1), {"pair": "remove"}),
    "service taken out": (without("web"), {"web": "remove"}),
    "profile off": (change("web", profiles=["debug"]), {"web": "remove"}),
    "port moves to another service": (moved_port, {"renamed": "create", "port": "remove"}),
    "content of a mounted file": (
        lambda stack: (stack.project.directory / "web.conf").write_text("level = 2\n") and None,
        {"conf": "recreate"},
    ),
    "stopped by hand": (by_hand("stop"), {"web": "start"}),
    "paused by hand": (by_hand("pause"), {"web": "start"}),
    "removed by hand": (by_hand("rm", "--force"), {"web": "create"}),
    "one of two removed by hand": (by_hand("rm", "--force", service="pair"), {"pair": "create"}),
    "depends_on restart": (change("base", environment={"LEVEL": "debug"}), {"base": "recreate", "led": "recreate"}),
}


@pytest.fixture
def stack(tmp_path: Path) -> t.Iterator[Stack]:
    image = newest_image("shipshape/python")
    (tmp_path / "web.conf").write_text("level = 1\n")
    services = {
        "web": sleeper(image, restart="always"),
        "pair": sleeper(image, restart="always", scale=2),
        "data": sleeper(image, restart="always", volumes=["data:/data"]),
        "conf": sleeper(image, restart="always", volumes=["./web.conf:/etc/web.conf:ro"]),
        "port": sleeper(image, restart="always", ports=["127.0.0.1:18765:80"]),
        "base": sleeper(image, restart="always"),
        "led": sleeper(image, restart="always", depends_on={"base": {"condition": "service_started", "restart": True}}),
    }
    with project(tmp_path) as it:
        ready = Stack(it, services)
        ready.declare(services)
        assert not it.up(stable_for=0.2).get("failed")
        yield ready


@pytest.mark.parametrize("case", CASES)
def test_check_mode_prints_what_the_real_run_does(stack: Stack, case: str) -> None:
    step, expected = CASES[case]
    step(stack)
    before = stack.project.containers()
    checked = stack.project.up("--check", "--diff", stable_for=0.2)
    assert stack.project.containers() == before
    done = stack.project.up("--diff", stable_for=0.2)
    assert not done.get("failed"), done.get("msg")
    for key in ("changed", "actions", "diff"):
        assert done.get(key) == checked.get(key), key
    actions = {item["service"]: item["action"] for item in done["actions"] if item["action"] != "unchanged"}
    assert actions == expected
    assert all(item["reasons"] for item in done["actions"] if item["action"] != "unchanged")
    again = stack.project.up(stable_for=0.2)
    assert again["changed"] is False
    assert again["verdicts"] == []
