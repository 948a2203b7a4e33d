# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout of what people really run: the example's uvicorn and Celery, its settings and the declared commands."""

from __future__ import annotations

import collections
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hosts import docker
from modules import newest_image, project
from rollout import Site, good

from ansible_collections.shipshape.stack.plugins.module_utils import _declaration

FIXTURE = Path(__file__).with_name("fixtures") / "servers"
SERVICES = _declaration.services_of({})
STRATEGIES = {"worker": "rolling"}
REQUEST, TASK = 5, 9
"""Seconds that what is under way lasts: longer than it takes to switch, and to switch and to drain."""


@dataclass(frozen=True)
class Done:
    """A request or a task: which release did it, and when it was done."""

    by: str
    at: float


@dataclass
class Rolled:
    """What came of requests and tasks while backend and worker were rolled; ``begun`` and ``done`` are by task."""

    slow: list[Done] = field(default_factory=list)
    ordered: list[str] = field(default_factory=list)
    ordered_of: collections.Counter[str] = field(default_factory=collections.Counter)
    losses: list[str] = field(default_factory=list)
    begun: dict[str, list[Done]] = field(default_factory=dict)
    done: dict[str, list[Done]] = field(default_factory=dict)
    switched: float = 0.0
    stopped: float = 0.0


def declare(site: Site, version: str) -> None:
    """Declare the example's servers with another application in them."""
    environment = {
        "VERSION": version,
        "PYTHONPATH": "/probe",
        "REDIS_URL": "redis://redis:6379/0",
        "DATABASE_URL": "postgresql://nobody@nowhere/nothing",
        "SECRET_KEY": "not-a-secret-of-anybody",
    }
    common = {
        "image": newest_image("shop/backend"),
        "environment": environment,
        "volumes": [f"{FIXTURE}:/probe:ro"],
        "init": True,
        "restart": "unless-stopped",
        "depends_on": ["redis"],
    }
    grace = {name: {"stop_grace_period": SERVICES[name]["stop_grace_period"]} for name in ("backend", "worker")}
    uvicorn = ["probe:api" if word == "app.main:app" else word for word in SERVICES["backend"]["command"]]
    celery = ["probe" if word == "app.tasks" else word for word in SERVICES["worker"]["command"]]
    pings = "celery -A probe inspect ping --timeout 5 --destination celery@$$HOSTNAME"
    pace = {"interval": "60s", "timeout": "15s", "start_period": "30s", "start_interval": "1s"}
    site.declare(
        site.backend(version, **common, **grace["backend"], command=uvicorn),
        others={
            "worker": {
                **common,
                **grace["worker"],
                "command": celery,
                "healthcheck": {"test": ["CMD-SHELL", pings], **pace},
            },
            "redis": {"image": newest_image("shipshape/redis"), "command": ["redis-server", "--save", ""]},
        },
    )


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Rolled]:
    """A rollout of backend and worker while both have something under way that takes its time, and more comes in."""
    with project(tmp_path_factory.mktemp("servers")) as it:
        site, seen, over = Site(it), Rolled(), threading.Event()
        declare(site, "old")
        good(site.deploy(strategies=STRATEGIES))
        site.answers("old")
        with ThreadPoolExecutor() as clients:
            for name in ("long-1", "long-2"):
                order(site, seen, name, TASK)
            wait_until(lambda: len(listed(site, "begun")) == 2)
            under_way = [clients.submit(ask, site, f"/{kind}/{REQUEST}") for kind in ("slow", "blocking")]
            ordering = clients.submit(keep_ordering, site, seen, over)
            declare(site, "new")
            since = time.time()
            result = site.deploy(strategies=STRATEGIES)
            over.set()
            ordering.result()
            seen.slow += [request.result() for request in under_way]
        good(result)
        seen.switched, seen.stopped = moment(site, since, "exec_start", "nginx"), moment(site, since, "kill", "worker")
        wait_until(lambda: len(listed(site, "done")) >= len(seen.ordered))
        seen.begun, seen.done = listed(site, "begun"), listed(site, "done")
        yield seen


def ask(site: Site, path: str) -> Done:
    return Done(site.ask(path), time.time())


def moment(site: Site, since: float, action: str, service: str) -> float:
    """Return when something happened last to a container of a service."""
    window = ("--since", f"{since:.6f}", "--until", f"{time.time():.6f}", "--filter", f"event={action}")
    label = ("--filter", f"label=com.docker.compose.project={site.project.name}")
    lines = docker("events", *window, *label, "--format", "{{.TimeNano}} {{.Actor.Attributes.name}}").splitlines()
    return max(int(line.split()[0]) for line in lines if f"-{service}-" in line) / 1e9


def order(site: Site, seen: Rolled, name: str, seconds: float) -> None:
    """Order a task by a request that nobody repeats."""
    connection = site.connect()
    connection.request("POST", f"/tasks/{name}?seconds={seconds}")
    seen.ordered_of[site.version_of(connection.getresponse())] += 1
    seen.ordered.append(name)
    connection.close()


def keep_ordering(site: Site, seen: Rolled, over: threading.Event) -> None:
    # As fast as both processes of one worker are.
    while not over.wait(0.1):
        try:
            order(site, seen, f"short-{len(seen.ordered)}", 0.2)
        except Exception as error:
            seen.losses.append(repr(error))


def listed(site: Site, name: str) -> dict[str, list[Done]]:
    """Return who began, or did, a task, by its name."""
    lines = docker("exec", f"{site.project.name}-redis-1", "redis-cli", "lrange", name, "0", "-1").splitlines()
    found: dict[str, list[Done]] = {}
    for line in lines:
        task, version, at = line.split()
        found.setdefault(task, []).append(Done(version, float(at)))
    return found


def wait_until(condition: t.Callable[[], bool]) -> None:
    """Look until something holds that nothing tells of."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise TimeoutError("not within 30 s")


def test_requests_to_uvicorn_are_all_answered(rolled: Rolled) -> None:
    assert rolled.losses == []
    assert set(rolled.ordered_of) == {"old", "new"}


def test_slow_requests_are_finished_by_the_uvicorn_that_began_them(rolled: Rolled) -> None:
    assert [request.by for request in rolled.slow] == ["old", "old"]
    assert min(request.at for request in rolled.slow) > rolled.switched


def test_tasks_of_celery_are_all_done_and_none_twice(rolled: Rolled) -> None:
    assert set(rolled.begun) == set(rolled.done) == set(rolled.ordered)
    assert {len(by) for by in (*rolled.begun.values(), *rolled.done.values())} == {1}
    assert {done.by for [done] in rolled.done.values()} == {"old", "new"}


def test_long_tasks_are_finished_by_the_worker_that_began_them_and_was_asked_to_stop(rolled: Rolled) -> None:
    long = [done for name in ("long-1", "long-2") for done in rolled.done[name]]
    assert [done.by for done in long] == ["old", "old"]
    assert min(done.at for done in long) > rolled.stopped
