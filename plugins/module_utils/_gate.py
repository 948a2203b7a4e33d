# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health gate at work: the Engine's events and inspections of a project in, a verdict on each service out."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.shipshape.stack.plugins.module_utils import _diagnosis, _engine, _health
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


@dataclass
class Gate:
    """The running state of the health gate: what each container was last seen doing."""

    expectations: tuple[_health.Expectation, ...]
    replaced: frozenset[str] = frozenset()
    """Ids of containers that go: what becomes of them is none of the gate's concern."""
    starting: frozenset[str] = frozenset()
    """Ids of present containers that are started: how they ended before does not count."""
    patient: bool = False
    """The plan changes something, which may be why a container is unhealthy: it gets its time once more."""
    tracks: dict[str, _health.Track] = field(default_factory=dict)

    def see(self, container: _engine.Container) -> None:
        """Take over an inspected container. Exits of long ago do not count: Compose is about to start it again."""
        started = container.started
        track = _health.Track(id=container.id, service=container.service, status="created")
        if container.id in self.starting and container.status not in ("running", "paused"):
            self.tracks[container.id] = track
            return
        if container.status == "restarting":
            track = replace(track, exits=1)
        elif container.status in ("running", "paused"):
            track = replace(
                track, status=container.status, health=container.health, since=started, waiting_since=started
            )
        elif container.status == "exited" and container.exit_code == 0:
            track = replace(track, status="exited", since=started)
        if track.health == "unhealthy" and self.patient:
            track = replace(track, health="starting", waiting_since=0.0)
        self.tracks[container.id] = track

    def hear(self, event: dict[str, t.Any]) -> None:
        """Take over one Engine event. Containers that are being replaced are none of our concern."""
        actor = event["Actor"]["Attributes"]
        service = actor.get(_engine.SERVICE_LABEL, "")
        known = {wanted.service for wanted in self.expectations}
        container, action, now = event["Actor"]["ID"], event["Action"], event["timeNano"] / 1e9
        if container in self.replaced or service not in known or actor.get(_engine.ONEOFF_LABEL) == "True":
            return
        if action == "kill" and not _health.asks_to_stop(actor.get("signal", "")):
            return
        track = self.tracks.get(container) or _health.Track(id=container, service=service, status="created")
        if action == "die" and track.status == "created" and track.exits:
            # Seen restarting, and only now told of the exit.
            return
        after = _health.advance(track, action, exit_code=int(actor.get("exitCode", 0)), now=now)
        if after is None:
            self.tracks.pop(container, None)
        else:
            self.tracks[container] = after

    def verdicts(self, now: float) -> list[_health.Verdict]:
        """Return the verdict on every service of the target."""
        return [_health.judge(wanted, self.tracks.values(), now) for wanted in self.expectations]

    def wait_until(self, now: float) -> float:
        """Return when to look again if no event comes."""
        return _health.next_check(self.expectations, self.tracks.values(), now)

    def could_not_start(self, container: str, error: str) -> None:
        """Take over that the Engine refused to start a container; one that is gone by now is not there any more."""
        if container in self.tracks:
            self.tracks[container] = replace(self.tracks[container], status="created", error=error)

    def look_again(self, container: _engine.Container) -> None:
        """Take over from an inspection what no event tells: that the Engine failed to start a container once more."""
        track = self.tracks.get(container.id)
        if track and track.exits and track.status == container.status == "exited" and container.error:
            self.could_not_start(container.id, container.error)

    def reached(self, service: str, condition: str, now: float) -> bool:
        """Return whether a ``depends_on`` condition on a service is met. Compose spec: depends_on."""
        [wanted] = [item for item in self.expectations if item.service == service]
        if condition == "service_started":
            running = [track for track in self.tracks.values() if track.service == service]
            return len(running) >= wanted.replicas and all(
                track.status == "running" or _health.is_ready(track, wanted, now) for track in running
            )
        # service_healthy without a healthcheck, which Compose refuses at once: having proved stable is what was meant.
        return _health.judge(wanted, self.tracks.values(), now).status == "ready"


class GateClosed(StackError):
    """One or more services did not become ready; ``failures`` holds the evidence of each."""

    def __init__(self, failures: t.Sequence[_diagnosis.Evidence]) -> None:
        names = ", ".join(item.service for item in failures)
        super().__init__(
            f"The health gate stays closed: {names} did not become ready.",
            evidence=_diagnosis.report(failures),
            fix=_diagnosis.diagnose(failures[0])[0].fix,
        )
        self.failures = tuple(failures)

    def result(self) -> dict[str, t.Any]:
        """Return the keyword arguments for ``fail_json``, with the evidence on each service."""
        return {**super().result(), "failures": [_diagnosis.as_result(item) for item in self.failures]}


def collect(client: t.Any, containers: t.Sequence[_engine.Container], verdict: _health.Verdict) -> _diagnosis.Evidence:
    """Gather the evidence on a service from the worst of its containers that were meant to stay."""
    own = [item for item in containers if item.service == verdict.service]
    worst = max(own, key=lambda item: (item.status != "running", item.health != "healthy"), default=None)
    if worst is None:
        return _diagnosis.Evidence(verdict.service, "", verdict.reason, "missing", 0, False, 0, "", (), "")
    return _diagnosis.Evidence(
        service=verdict.service,
        container=worst.name,
        verdict=verdict.reason,
        state=worst.status if worst.health == "none" else f"{worst.status} ({worst.health})",
        exit_code=worst.exit_code,
        oom_killed=worst.oom_killed,
        restart_count=worst.restart_count,
        error=worst.error or _engine.full_disk(client),
        probes=worst.probes,
        log=_engine.log_tail(client, worst.id),
    )
