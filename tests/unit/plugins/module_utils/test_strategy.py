# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service gets to its new containers, and the reason that is told."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _strategy
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._strategy import Strategy

Definition = dict[str, t.Any]


def choose(definition: Definition, others: dict[str, Definition] | None = None, **facts: t.Any) -> Strategy:
    return _strategy.choose("web", {"web": definition, **(others or {})}, **facts)


PORT: Definition = {"ports": [{"target": 80, "published": "8080", "protocol": "tcp"}]}
TRAEFIK: Definition = {"labels": {"traefik.enable": "true"}}
DATA = {"type": "volume", "source": "data", "target": "/data"}

# New containers cannot even be made beside the old ones.
UNIQUE: list[tuple[Definition, dict[str, Definition], str]] = [
    ({"container_name": "web"}, {}, "has the fixed container_name web"),
    ({"network_mode": "service:vpn"}, {"vpn": {}}, "shares the network_mode of vpn"),
    ({"network_mode": "container:vpn"}, {}, "shares the network_mode of vpn"),
    ({"pid": "service:vpn"}, {"vpn": {}}, "shares the pid of vpn"),
    ({"ipc": "service:vpn"}, {"vpn": {}}, "shares the ipc of vpn"),
    ({}, {"a": {"network_mode": "service:web"}, "b": {"pid": "service:web"}}, "shares a namespace with a, b"),
    ({"post_start": [{"command": "true"}]}, {}, "has hooks, which Compose alone runs"),
    ({"pre_stop": [{"command": "true"}]}, {}, "has hooks, which Compose alone runs"),
]
# They can be made, but the old have to stop before they start.
EXCLUSIVE: list[tuple[Definition, str]] = [
    (PORT, "publishes host port 8080"),
    ({"ports": [{"published": "53", "protocol": "udp"}, {"published": "53"}]}, "publishes host port 53"),
    ({"ports": [{"published": "80"}, {"published": "443"}]}, "publishes host port 80, 443"),
    ({"network_mode": "host"}, "uses the host's network"),
    ({"networks": {"edge": None, "data": {"ipv4_address": "10.0.0.2"}}}, "has a fixed network address"),
    ({"networks": {"data": {"ipv6_address": "fd00::2"}}}, "has a fixed network address"),
    ({"networks": {"data": {"mac_address": "02:42:ac:11:00:02"}}}, "has a fixed network address"),
]
HARMLESS: list[Definition] = [
    {},
    {"ports": [{"target": 80}], "networks": {"edge": None, "data": {"aliases": ["app"]}}},
    {"volumes": [{**DATA, "read_only": True}, {"type": "tmpfs", "target": "/tmp"}]},
    {"network_mode": "bridge", "pid": "host", "ipc": "private"},
    {"network_mode": "none"},
]


@pytest.mark.parametrize(("definition", "others", "reason"), UNIQUE, ids=[reason for *_rest, reason in UNIQUE])
def test_what_there_can_be_only_once_is_recreated_by_compose(
    definition: Definition, others: dict[str, Definition], reason: str
) -> None:
    assert choose(definition, others, switched=True) == Strategy("recreate", reason, by_compose=True)
    # To ask for what happens anyway changes nothing: Compose still has to do it.
    assert choose(definition, others, wish="recreate") == Strategy("recreate", reason, by_compose=True)
    with pytest.raises(StackError, match="web cannot be rolling") as caught:
        choose(definition, others, wish="rolling", switched=True)
    assert caught.value.evidence == f"It {reason}."


@pytest.mark.parametrize(("definition", "reason"), EXCLUSIVE, ids=[reason for _definition, reason in EXCLUSIVE])
def test_what_cannot_run_twice_is_recreated(definition: Definition, reason: str) -> None:
    assert choose(definition, switched=True) == Strategy("recreate", reason)
    with pytest.raises(StackError) as caught:
        choose(definition, wish="rolling", switched=True)
    assert caught.value.evidence == f"It {reason}."
    assert "shipshape.stack.strategy" in caught.value.fix


@pytest.mark.parametrize("definition", HARMLESS, ids=str)
def test_what_the_edge_switches_is_rolled(definition: Definition) -> None:
    assert choose(definition, switched=True) == Strategy("rolling", "the edge switches to the ready containers")
    assert choose(definition) == Strategy("recreate", "nothing in front of it is known to follow its health")


def test_data_in_an_anonymous_volume_is_handed_on_by_compose() -> None:
    strategy = choose({}, switched=True, anonymous_volumes=True)
    assert strategy == Strategy("recreate", "keeps data in an anonymous volume", by_compose=True)
    with pytest.raises(StackError, match="cannot be rolling"):
        choose({}, wish="rolling", anonymous_volumes=True)


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        (DATA, "writes to volume data"),
        ({"type": "bind", "source": "/srv/up", "target": "/up"}, "writes to bind /srv/up"),
        ({"type": "volume", "target": "/anonymous"}, "writes to volume /anonymous"),
    ],
)
def test_what_writes_is_recreated_unless_it_is_asked_for(mount: dict[str, t.Any], reason: str) -> None:
    definition = {"volumes": [{"type": "tmpfs", "target": "/tmp"}, mount]}
    assert choose(definition, switched=True) == Strategy("recreate", reason)
    assert choose(definition, wish="rolling") == Strategy("rolling", "as asked for")


def test_one_shot_is_recreated_unless_it_is_asked_for() -> None:
    assert choose({}, switched=True, finishes=True) == Strategy("recreate", "runs to its end")
    assert choose({}, wish="rolling", finishes=True).kind == "rolling"


@pytest.mark.parametrize(
    "labels",
    [
        {"traefik.enable": "true"},
        {"traefik.enable": "True"},
        {"traefik.http.routers.web.rule": "Host(`web`)"},
        {"traefik.tcp.routers.web.rule": "HostSNI(`*`)"},
    ],
    ids=str,
)
def test_traefik_follows_the_health_if_there_is_one(labels: dict[str, str]) -> None:
    strategy = choose({"labels": labels}, has_healthcheck=True)
    assert strategy == Strategy("rolling", "Traefik follows its health")
    assert choose({"labels": labels}).kind == "recreate"


def test_what_traefik_does_not_serve_is_recreated() -> None:
    assert choose({"labels": {"traefik.docker.network": "edge"}}, has_healthcheck=True).kind == "recreate"


def test_what_traefik_is_told_to_leave_alone_is_recreated() -> None:
    labels = {"traefik.enable": "false", "traefik.http.routers.web.rule": "Host(`web`)"}
    assert choose({"labels": labels}, has_healthcheck=True).kind == "recreate"


def test_wish_for_recreate_goes_before_what_could_be_rolled() -> None:
    assert choose({}, wish="recreate", switched=True) == Strategy("recreate", "as asked for")


def test_label_decides_where_the_option_does_not() -> None:
    labelled = {"labels": {"shipshape.stack.strategy": "recreate"}}
    assert choose(labelled, switched=True) == Strategy("recreate", "as asked for")
    assert choose(labelled, wish="rolling") == Strategy("rolling", "as asked for")
    assert choose({"labels": {"shipshape.stack.strategy": "rolling"}}).kind == "rolling"
    assert choose({"labels": {"shipshape.stack.strategy": "auto"}}, switched=True).kind == "rolling"
    with pytest.raises(StackError, match="cannot be rolling"):
        choose({**PORT, "labels": {"shipshape.stack.strategy": "rolling"}})


@pytest.mark.parametrize("wish", ["Rolling", "blue-green"])
def test_unknown_wish_is_refused_with_those_there_are(wish: str) -> None:
    for definition, option in (({"labels": {"shipshape.stack.strategy": wish}}, "auto"), ({}, wish)):
        with pytest.raises(StackError, match="is not a strategy for the service web") as caught:
            choose(definition, wish=option)
        assert "auto, rolling, recreate" in caught.value.fix


def test_first_obstacle_that_no_wish_overcomes_is_told() -> None:
    definition = {**PORT, "container_name": "web", "volumes": [DATA]}
    assert choose(definition).reason == "has the fixed container_name web"
    assert choose({**PORT, "volumes": [DATA]}).reason == "publishes host port 8080"


# What a plan wants to know beside it


def test_published_ports_are_those_of_the_host() -> None:
    ports = [{"target": 80, "published": "8080"}, {"target": 53, "published": "53", "protocol": "udp"}, {"target": 9}]
    assert _strategy.published({"ports": ports}) == {"8080/tcp", "53/udp"}
    assert _strategy.published({}) == frozenset()
    assert _strategy.published({"ports": None}) == frozenset()


def test_service_follows_those_it_shares_with_and_those_it_restarts_with() -> None:
    definition = {
        "network_mode": "service:vpn",
        "pid": "service:vpn",
        "ipc": "container:other",
        "depends_on": {
            "db": {"condition": "service_healthy", "restart": True},
            "cache": {"condition": "service_started", "restart": False},
            "queue": {"condition": "service_started"},
        },
    }
    assert _strategy.follows(definition) == ("vpn", "db")
    assert _strategy.follows({"network_mode": "host", "depends_on": None}) == ()


@pytest.mark.parametrize(
    ("definition", "needed"),
    [({"post_start": [{}]}, True), ({"pre_stop": [{}]}, True), ({"post_start": []}, False), ({}, False)],
)
def test_hooks_are_for_compose(definition: Definition, needed: bool) -> None:
    assert _strategy.needs_compose_to_start(definition) == needed
