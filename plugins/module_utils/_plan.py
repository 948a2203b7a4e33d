# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired state against actual state: which service changes, how and why. No I/O."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.shipshape.stack.plugins.module_utils._strategy import Strategy

Action = t.Literal["unchanged", "create", "start", "roll", "recreate", "reload", "remove"]

ACTIVE = ("running", "paused", "restarting")


class Actual(t.Protocol):
    """What the plan needs to know of a container (``_engine.Container`` has it)."""

    @property
    def id(self) -> str:
        """The Engine's id."""

    @property
    def service(self) -> str:
        """The Compose service it belongs to."""

    @property
    def status(self) -> str:
        """State as the Engine names it: created, running, exited, …"""

    @property
    def health(self) -> str:
        """healthy, unhealthy, starting, or none without a healthcheck."""

    @property
    def exit_code(self) -> int:
        """Of the last exit; 0 while it never ended."""

    @property
    def config_hash(self) -> str:
        """The hash Compose labelled it with."""

    @property
    def image(self) -> str:
        """Id of the image it was made from."""

    @property
    def ports(self) -> frozenset[str]:
        """Published ports of the host, as ``80/tcp``."""

    @property
    def created(self) -> float:
        """When it was made, in seconds."""

    @property
    def started(self) -> float:
        """When it was started last, in seconds."""


@dataclass(frozen=True)
class Desired:
    """A service of the project.

    ``image_id`` is None where the image is not on the host yet. ``follows`` are the services whose change it has to
    follow with new containers: it shares their namespaces, or says ``depends_on: {…: {restart: true}}``.
    """

    service: str
    config_hash: str
    image_id: str | None
    replicas: int
    may_finish: bool
    strategy: Strategy = field(default_factory=lambda: Strategy("recreate", "asked for"))
    ports: frozenset[str] = frozenset()
    follows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """What happens to one service.

    ``create`` is the number of new containers, ``starts`` are ids of present ones that have to run, ``replaces`` the
    ids of those that go. ``why`` tells for ``roll`` and ``recreate`` the reason of the strategy. With ``waits`` the
    service is not ready, although nothing has to be done to it.
    """

    service: str
    action: Action
    reasons: tuple[str, ...] = ()
    create: int = 0
    starts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    why: str = ""
    waits: bool = False


def plan(
    desired: t.Sequence[Desired],
    actual: t.Sequence[Actual],
    *,
    remove_orphans: bool,
    outdated: t.Mapping[str, str] | None = None,
) -> list[Change]:
    """Return one change a service, in the order given; orphans last.

    ``outdated`` maps ids of containers to why they are, where neither configuration nor image tells.
    """
    outdated = outdated or {}
    changes: dict[str, Change] = {}
    # A service after those it follows, so that one look at each is enough.
    for wanted in _in_order(desired):
        own = [item for item in actual if item.service == wanted.service]
        led = [name for name in wanted.follows if name in changes and _renews(changes[name])]
        left = {
            item.id: f"{', '.join(names)} was recreated, which it has to follow"
            for item in own
            if (names := [name for name in wanted.follows if _is_newer(name, item, actual, changes)])
        }
        changes[wanted.service] = _change(wanted, own, {**left, **outdated}, led)
    result = [changes[wanted.service] for wanted in desired]
    known = {wanted.service for wanted in desired}
    orphans = [item for item in actual if item.service not in known] if remove_orphans else []
    for service in sorted({item.service for item in orphans}):
        ids = tuple(item.id for item in orphans if item.service == service)
        result.append(Change(service, "remove", ("no longer part of the project",), replaces=ids))
    return _free_ports(result, desired, actual)


def reload(changes: t.Sequence[Change], service: str, reasons: t.Sequence[str]) -> list[Change]:
    """Return the plan with the edge reloaded for these reasons, unless its containers are made or started anyway."""
    return [
        replace(change, action="reload", reasons=tuple(reasons))
        if change.service == service and change.action == "unchanged" and reasons
        else change
        for change in changes
    ]


def changes_something(changes: t.Iterable[Change]) -> bool:
    """Return whether applying the plan would touch a container."""
    return any(change.action != "unchanged" for change in changes)


def settled(changes: t.Iterable[Change]) -> bool:
    """Return whether there is nothing to do and nothing to wait for."""
    return all(change.action == "unchanged" and not change.waits for change in changes)


def _in_order(desired: t.Sequence[Desired]) -> list[Desired]:
    by_name = {wanted.service: wanted for wanted in desired}
    done: dict[str, Desired] = {}

    def visit(wanted: Desired) -> None:
        for name in wanted.follows:
            if name in by_name and name not in done:
                visit(by_name[name])
        done[wanted.service] = wanted

    # Compose refuses a cycle among these before anything gets here.
    for wanted in desired:
        if wanted.service not in done:
            visit(wanted)
    return list(done.values())


def _renews(change: Change) -> bool:
    return change.action in ("roll", "recreate") or (change.action == "create" and bool(change.create))


def _is_newer(leader: str, follower: Actual, actual: t.Sequence[Actual], changes: t.Mapping[str, Change]) -> bool:
    """Whether a leader has been renewed since the follower's start, by a run that did not get as far as that."""
    return follower.status in ACTIVE and any(
        item.created > follower.started
        for item in actual
        if item.service == leader and leader in changes and item.id not in changes[leader].replaces
    )


def _change(wanted: Desired, containers: list[Actual], outdated: t.Mapping[str, str], led: t.Sequence[str]) -> Change:
    stale = {item.id: why for item in containers if (why := _staleness(wanted, item, outdated, led))}
    good = sorted((item for item in containers if item.id not in stale), key=lambda item: item.status not in ACTIVE)
    count = wanted.replicas
    kept, surplus = good[:count], tuple(item.id for item in good[count:])
    missing = wanted.replicas - len(kept)
    starts = tuple(item.id for item in kept if _has_to_start(wanted, item))
    if stale and wanted.replicas:
        action: Action = "roll" if wanted.strategy.kind == "rolling" else "recreate"
        why = f"{'rolling' if action == 'roll' else 'recreate'}: {wanted.strategy.reason}"
        reasons = tuple(dict.fromkeys(stale.values()))
        return Change(wanted.service, action, reasons, missing, starts, (*stale, *surplus), why)
    if stale or (surplus and not missing and not starts):
        reason = "0 replicas wanted" if count == 0 else f"{len(containers)} of {count} replicas"
        return Change(wanted.service, "remove", (reason,), replaces=(*stale, *surplus))
    if missing:
        reason = f"{len(kept)} of {wanted.replicas} replicas" if kept else "no container yet"
        return Change(wanted.service, "create", (reason,), missing, starts)
    if starts:
        states = tuple(f"container is {_state(item)}" for item in kept if item.id in starts)
        return Change(wanted.service, "start", states, starts=starts, replaces=surplus)
    waiting = [item for item in kept if item.health not in ("none", "healthy") or item.status == "restarting"]
    if waiting:
        states = tuple(
            "container is restarting" if item.status == "restarting" else f"health is {item.health}"
            for item in waiting
            if item.status in ACTIVE
        )
        return Change(wanted.service, "unchanged", states, waits=bool(states))
    return Change(wanted.service, "unchanged")


def _staleness(wanted: Desired, container: Actual, outdated: t.Mapping[str, str], led: t.Sequence[str]) -> str:
    # Before the configuration, which has changed as well where the image has another name.
    if wanted.image_id is not None and container.image != wanted.image_id:
        return "image changed"
    if container.config_hash != wanted.config_hash:
        return "configuration changed"
    if container.status in ("dead", "removing"):
        return f"container is {container.status}"
    if container.id in outdated:
        return outdated[container.id]
    if led:
        return f"{', '.join(led)} changes, which it has to follow"
    return ""


def _has_to_start(wanted: Desired, container: Actual) -> bool:
    finished = wanted.may_finish and container.status == "exited" and container.exit_code == 0
    return container.status not in ("running", "restarting") and not finished


def _state(container: Actual) -> str:
    return f"{container.status} (exit code {container.exit_code})" if container.status == "exited" else container.status


def _free_ports(changes: list[Change], desired: t.Sequence[Desired], actual: t.Sequence[Actual]) -> list[Change]:
    """Let a service replace what goes and holds one of its ports, so that it is stopped first: orphans and others'."""
    ports = {wanted.service: wanted.ports for wanted in desired}
    gone = {item for change in changes for item in change.replaces}
    going = [item for item in actual if item.id in gone]
    taken: set[str] = set()
    result = []
    for change in changes:
        wanted = ports.get(change.service, frozenset())
        holders = [item.id for item in going if item.service != change.service and item.ports & wanted]
        if (change.create or change.starts) and holders:
            taken.update(holders)
            result.append(replace(change, replaces=(*change.replaces, *holders)))
        elif change.action == "remove" and change.service not in ports:
            result.append(replace(change, replaces=tuple(item for item in change.replaces if item not in taken)))
        else:
            result.append(change)
    return result
