# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired state against actual state: which service changes, how and why. No I/O."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

Action = t.Literal["unchanged", "create", "start", "recreate", "scale", "wait", "remove"]


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


@dataclass(frozen=True)
class Desired:
    """A service of the project. ``image_id`` is None where the image is not on the host yet."""

    service: str
    config_hash: str
    image_id: str | None
    replicas: int
    may_finish: bool


@dataclass(frozen=True)
class Change:
    """What happens to one service; ``replaces`` are the ids of containers that will go."""

    service: str
    action: Action
    reasons: tuple[str, ...]
    replaces: tuple[str, ...] = ()


def plan(desired: t.Sequence[Desired], actual: t.Sequence[Actual], *, remove_orphans: bool) -> list[Change]:
    """Return one change a service, in the order given; orphans last."""
    changes = [_change(wanted, [item for item in actual if item.service == wanted.service]) for wanted in desired]
    if remove_orphans:
        known = {wanted.service for wanted in desired}
        orphans: dict[str, list[str]] = {}
        for item in actual:
            if item.service not in known:
                orphans.setdefault(item.service, []).append(item.id)
        changes += [
            Change(service, "remove", ("no longer part of the project",), tuple(ids))
            for service, ids in sorted(orphans.items())
        ]
    return changes


def changes_something(changes: t.Iterable[Change]) -> bool:
    """Return whether applying the plan would touch a container."""
    return any(change.action not in ("unchanged", "wait") for change in changes)


def settled(changes: t.Iterable[Change]) -> bool:
    """Return whether there is nothing to do and nothing to wait for."""
    return all(change.action == "unchanged" for change in changes)


def _change(wanted: Desired, containers: list[Actual]) -> Change:
    if wanted.replicas == 0:
        if containers:
            return Change(wanted.service, "scale", ("0 replicas wanted",), tuple(item.id for item in containers))
        return Change(wanted.service, "unchanged", ())
    if not containers:
        return Change(wanted.service, "create", ("no container yet",))
    stale = {item.id: why for item in containers if (why := _staleness(wanted, item))}
    if stale:
        return Change(wanted.service, "recreate", tuple(dict.fromkeys(stale.values())), tuple(stale))
    if len(containers) != wanted.replicas:
        wanted_count = wanted.replicas
        surplus = tuple(item.id for item in containers[wanted_count:])
        return Change(wanted.service, "scale", (f"{len(containers)} of {wanted.replicas} replicas",), surplus)
    stopped = [item for item in containers if item.status != "running" and not _finished(wanted, item)]
    if stopped:
        states = tuple(f"container is {item.status} (exit code {item.exit_code})" for item in stopped)
        return Change(wanted.service, "start", states)
    waiting = [item for item in containers if item.health not in ("none", "healthy") and item.status == "running"]
    if waiting:
        return Change(wanted.service, "wait", tuple(f"health is {item.health}" for item in waiting))
    return Change(wanted.service, "unchanged", ())


def _staleness(wanted: Desired, container: Actual) -> str:
    if container.config_hash != wanted.config_hash:
        return "configuration changed"
    if wanted.image_id is not None and container.image != wanted.image_id:
        return "image changed"
    return ""


def _finished(wanted: Desired, container: Actual) -> bool:
    return wanted.may_finish and container.status == "exited" and container.exit_code == 0
