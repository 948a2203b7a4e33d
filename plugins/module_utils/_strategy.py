# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service gets from its old containers to its new ones. No I/O."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

LABEL = "shipshape.stack.strategy"
WISHES = ("auto", "rolling", "recreate")
NAMESPACES = ("network_mode", "pid", "ipc")


@dataclass(frozen=True)
class Strategy:
    """``rolling``: new beside old, then the old go. ``recreate``: the old are stopped before the new start.

    ``by_compose``: new containers cannot be made while the old exist, so Compose itself removes and makes them.
    ``reason`` is for a person.
    """

    kind: t.Literal["rolling", "recreate"]
    reason: str
    by_compose: bool = False


def choose(
    name: str,
    services: t.Mapping[str, t.Any],
    *,
    wish: str = "auto",
    switched: bool = False,
    finishes: bool = False,
    has_healthcheck: bool = False,
    anonymous_volumes: bool = False,
) -> Strategy:
    """Return the strategy of a service of ``docker compose config``.

    ``switched``: the edge sends it traffic by an explicit list. ``anonymous_volumes``: what runs now holds data in one.
    The service's label goes before ``wish`` = auto. Raises StackError for a wish that cannot be.
    """
    service = services[name]
    if wish == "auto":
        wish = str((service.get("labels") or {}).get(LABEL) or "auto")
    if wish not in WISHES:
        raise StackError(
            f"{wish!r} is not a strategy for the service {name}.", fix=f"Use one of {', '.join(WISHES)} for {LABEL}."
        )
    unique = _cannot_be_twice(name, services, anonymous_volumes=anonymous_volumes)
    exclusive = _cannot_run_twice(service)
    if wish == "rolling" and (unique or exclusive):
        raise StackError(
            f"The service {name} cannot be rolling.",
            evidence=f"It {unique or exclusive}.",
            fix=f"Take the strategy away (option or label {LABEL}), or what stands in its way.",
        )
    if unique:
        return Strategy("recreate", unique, by_compose=True)
    if wish != "auto":
        return Strategy("rolling" if wish == "rolling" else "recreate", "as asked for")
    obstacle = exclusive or ("runs to its end" if finishes else "") or _writes(service)
    if obstacle:
        return Strategy("recreate", obstacle)
    if switched:
        return Strategy("rolling", "the edge switches to the ready containers")
    if _traefik(service) and has_healthcheck:
        return Strategy("rolling", "Traefik follows its health")
    return Strategy("recreate", "nothing in front of it is known to follow its health")


def _cannot_be_twice(name: str, services: t.Mapping[str, t.Any], *, anonymous_volumes: bool) -> str:
    service = services[name]
    if service.get("container_name"):
        return f"has the fixed container_name {service['container_name']}"
    for key in NAMESPACES:
        kind, _colon, other = str(service.get(key) or "").partition(":")
        if kind in ("service", "container"):
            return f"shares the {key} of {other}"
    sharing = [
        other
        for other, definition in services.items()
        if any(definition.get(key) == f"service:{name}" for key in NAMESPACES)
    ]
    if sharing:
        return f"shares a namespace with {', '.join(sharing)}"
    if needs_compose_to_start(service):
        return "has hooks, which Compose alone runs"
    if anonymous_volumes:
        return "keeps data in an anonymous volume"
    return ""


def _cannot_run_twice(service: t.Mapping[str, t.Any]) -> str:
    if service.get("network_mode") == "host":
        return "uses the host's network"
    published = [str(port["published"]) for port in service.get("ports") or [] if port.get("published")]
    if published:
        return f"publishes host port {', '.join(dict.fromkeys(published))}"
    for network in (service.get("networks") or {}).values():
        if network and (network.get("ipv4_address") or network.get("ipv6_address") or network.get("mac_address")):
            return "has a fixed network address"
    return ""


def _writes(service: t.Mapping[str, t.Any]) -> str:
    for mount in service.get("volumes") or []:
        if mount["type"] in ("volume", "bind") and not mount.get("read_only"):
            return f"writes to {mount['type']} {mount.get('source') or mount['target']}"
    return ""


def _traefik(service: t.Mapping[str, t.Any]) -> bool:
    labels = service.get("labels") or {}
    if "traefik.enable" in labels:
        return str(labels["traefik.enable"]).lower() == "true"
    return any(str(key).startswith(("traefik.http.", "traefik.tcp.")) for key in labels)


def published(service: t.Mapping[str, t.Any]) -> frozenset[str]:
    """Return the host ports a service publishes, as ``80/tcp``."""
    return frozenset(
        f"{port['published']}/{port.get('protocol', 'tcp')}"
        for port in service.get("ports") or []
        if port.get("published")
    )


def follows(service: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Return the services this one follows with new containers: it shares their namespaces, or says ``restart``."""
    shared = [str(service.get(key) or "") for key in NAMESPACES]
    names = [value.partition(":")[2] for value in shared if value.startswith("service:")]
    names += [name for name, item in (service.get("depends_on") or {}).items() if item.get("restart")]
    return tuple(dict.fromkeys(names))


def needs_compose_to_start(service: t.Mapping[str, t.Any]) -> bool:
    """Whether Compose does more than to start its containers: it runs hooks."""
    return bool(service.get("post_start") or service.get("pre_stop"))
