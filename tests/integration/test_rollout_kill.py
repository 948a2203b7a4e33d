# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deploy that dies at any of its steps: the site serves all the time, and the next run converges."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import time
import typing as t

import pytest
from hosts import docker
from modules import probed, shell, sleeper
from rollout import Events, Site, Watch, action, good, result_of

Moment = t.Callable[[Site, dict[str, str]], t.Callable[[Events], t.Any]]


def backend_is(kind: str) -> Moment:
    """Return the moment at which something happens to a new container of the backend."""

    def moment(_site: Site, old: dict[str, str]) -> t.Callable[[Events], t.Any]:
        return lambda events: events.wait(
            lambda action, actor, key: (
                action.startswith(kind)
                and actor.get("com.docker.compose.service") == "backend"
                and key not in old.values()
            )
        )

    return moment


def old_is(kind: str) -> Moment:
    """Return the moment at which something happens to the old container of the backend."""

    def moment(_site: Site, old: dict[str, str]) -> t.Callable[[Events], t.Any]:
        return lambda events: events.wait(
            lambda action, actor, key: (
                action == kind and actor.get("com.docker.compose.service") == "backend" and key in old.values()
            )
        )

    return moment


def nginx_is_asked(*words: str) -> Moment:
    """Return the moment at which the edge's nginx is told something, and not done with it."""
    return _nginx("exec_start", words)


def nginx_was_asked(*words: str) -> Moment:
    """Return the moment at which nginx has taken over what it was told."""
    begin = _nginx("exec_start", words)

    def moment(site: Site, old: dict[str, str]) -> t.Callable[[Events], t.Any]:
        def wait(events: Events) -> None:
            identity = begin(site, old)(events)["Actor"]["Attributes"]["execID"]
            events.wait(lambda action, actor, _key: action == "exec_die" and actor.get("execID") == identity)

        return wait

    return moment


def _nginx(kind: str, words: tuple[str, ...]) -> Moment:
    def moment(_site: Site, _old: dict[str, str]) -> t.Callable[[Events], t.Any]:
        return lambda events: events.wait(
            lambda action, actor, _key: (
                action.startswith(kind)
                and actor.get("com.docker.compose.service") == "nginx"
                and all(word in action for word in words)
            )
        )

    return moment


MOMENTS: dict[str, Moment] = {
    "made": backend_is("create"),
    "started": backend_is("start"),
    "waiting": backend_is("exec_die"),
    "servers written": nginx_is_asked("-t"),
    "reloading": nginx_is_asked("-s reload"),
    "reloaded": nginx_was_asked("-s reload"),
    "old stopping": old_is("kill"),
    "old stopped": old_is("die"),
}


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda name: name.replace(" ", "-"))
def test_deploy_that_is_killed_costs_no_request_and_the_next_one_converges(site: Site, moment: str) -> None:
    old = site.backends()
    version = site.declare_next()
    with Watch(site) as watch:
        with Events(site) as events:
            deploy = site.begin_deploy()
            MOMENTS[moment](site, old)(events)
            os.kill(deploy.pid, signal.SIGKILL)
            deploy.communicate()
        good(site.deploy())
    assert watch.losses == []
    assert site.ask() == version
    assert not set(old.values()) & set(site.backends().values())
    site.is_settled()


def test_what_a_killed_deploy_switched_to_is_served_again_after_a_restart(site: Site) -> None:
    """Nobody comes to repeat the deploy, and the container gets another address."""
    old = site.backends()
    version = site.declare_next()
    with Events(site) as events:
        deploy = site.begin_deploy()
        old_is("kill")(site, old)(events)
        os.kill(deploy.pid, signal.SIGKILL)
        deploy.communicate()
        old_is("die")(site, old)(events)
        [new] = set(site.backends().values()) - set(old.values())
        docker("restart", "--time", "0", new)
        started = time.monotonic()
        site.answers(version)
    assert time.monotonic() - started < 3
    good(site.deploy())
    site.is_settled()


@pytest.mark.parametrize("moment", ["waiting", "reloaded"])
def test_deploy_that_is_asked_to_end_takes_everything_back(site: Site, moment: str) -> None:
    before, files, serving = site.project.containers(), site.files(), site.ask()
    more = probed("exit 1", start_period="60s") if moment == "waiting" else {}
    site.declare(site.backend("bad", **more))
    with Watch(site) as watch, Events(site) as events:
        deploy = site.begin_deploy(stable_for=5)
        MOMENTS[moment](site, site.backends())(events)
        deploy.send_signal(signal.SIGTERM)
        result = result_of(deploy)
    assert result["cause"] == "The rollout was ended by signal 15."
    assert result["fix"]
    assert result["serving"]["backend"].startswith("its old container, ")
    assert watch.losses == []
    assert site.ask() == serving
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


def test_deploy_beside_another_is_refused_with_the_name_of_the_first(site: Site) -> None:
    site.declare(site.backend("slow", **probed("test -e /tmp/go", start_period="60s")))
    with Events(site) as events:
        deploy = site.begin_deploy()
        [key] = [MOMENTS["waiting"](site, site.backends())(events)["Actor"]["ID"]]
        second = site.deploy()
        docker("exec", key, "touch", "/tmp/go")
        first = good(result_of(deploy))
    assert second["cause"] == "Another deploy of this project is running on this host."
    assert f"pid {deploy.pid} on {socket.gethostname()}, user {getpass.getuser()}, since 20" in second["evidence"]
    assert "stop the process named above" in second["fix"]
    assert action(first, "backend") == "roll"
    assert site.ask() == "slow"
    site.converges()


def test_what_follows_a_recreated_container_does_so_after_a_kill_between_the_two(site: Site) -> None:
    ready = {"leader": {"condition": "service_healthy", "restart": True}}

    def declare(level: str) -> None:
        late = shell(site.python, "sleep 1; touch /tmp/go; exec sleep 600", environment={"LEVEL": level})
        leader = {**late, **probed("test -e /tmp/go", start_period="60s")}
        followers = {
            "sidecar": sleeper(site.python, network_mode="service:leader", depends_on=ready),
            "dependent": sleeper(site.python, depends_on=ready),
        }
        site.declare(site.backend(version), others={"leader": leader, **followers})

    version = site.ask()
    declare("one")
    good(site.deploy())
    before = site.project.containers()
    [leader, sidecar, dependent] = (f"{site.project.name}-{name}-1" for name in ("leader", "sidecar", "dependent"))
    declare("two")
    with Watch(site) as watch:
        with Events(site) as events:
            deploy = site.begin_deploy()
            events.wait(
                lambda action, actor, key: action == "start" and actor["name"] == leader and key != before[leader]
            )
            os.kill(deploy.pid, signal.SIGKILL)
            deploy.communicate()
        left = site.project.containers()
        assert {name for name in before if left[name] != before[name]} == {leader}
        result = good(site.deploy())
    assert (action(result, "leader"), action(result, "sidecar"), action(result, "dependent")) == (
        "unchanged",
        "recreate",
        "recreate",
    )
    [told] = [item["reasons"] for item in result["actions"] if item["service"] == "dependent"]
    assert told == ["leader was recreated, which it has to follow"]
    after = site.project.containers()
    assert after[leader] == left[leader]
    assert [key for name, key in after.items() if "-dependent-" in name] != [before[dependent]]
    assert docker("inspect", sidecar, "--format", "{{.HostConfig.NetworkMode}}") == f"container:{after[leader]}"
    assert watch.losses == []
    site.is_settled()
    site.converges()
