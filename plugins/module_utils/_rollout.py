# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conductor of `compose_up`: plan, apply, and wait at the health gate."""

from __future__ import annotations

import tempfile
import threading
import time
import typing as t
from dataclasses import dataclass, field, replace
from datetime import datetime

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _diagnosis,
    _engine,
    _health,
    _plan,
    _release,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

_ENDED = "shipshape.compose.ended"


@dataclass(frozen=True)
class Options:
    """The user's wishes; times are seconds. An empty ``services`` means all of them."""

    services: tuple[str, ...] = ()
    remove_orphans: bool = True
    wait_timeout: float = 300.0
    stable_for: float = 5.0


@dataclass(frozen=True)
class Target:
    """A project as it should be, and the plan that leads there."""

    name: str
    desired: tuple[_plan.Desired, ...]
    expectations: tuple[_health.Expectation, ...]
    changes: tuple[_plan.Change, ...]


@dataclass
class Gate:
    """The running state of the health gate: what each container was last seen doing."""

    target: Target
    tracks: dict[str, _health.Track] = field(default_factory=dict)
    mending: set[str] = field(default_factory=set)
    """Containers that were unhealthy before, while the plan changes another service: that one may be why."""

    def see(self, container: _engine.Container) -> None:
        """Take over an inspected container. Exits of long ago do not count: Compose is about to start it again."""
        started = _epoch(container.started_at)
        track = _health.Track(id=container.id, service=container.service, status="created")
        if container.status == "restarting":
            track = replace(track, exits=1)
        elif container.status in ("running", "paused"):
            track = replace(
                track, status=container.status, health=container.health, since=started, waiting_since=started
            )
        elif container.status == "exited" and container.exit_code == 0:
            track = replace(track, status="exited", since=started)
        if track.health == "unhealthy" and _plan.changes_something(self.target.changes):
            self.mending.add(container.id)
            track = replace(track, health="starting", waiting_since=0.0)
        self.tracks[container.id] = track

    def reconcile(self, containers: t.Iterable[_engine.Container]) -> None:
        """Correct what events said by an inspection made after Compose ended: its last events may still be on the way.

        Those that come later repeat what is known by then, so the end is the same.
        """
        present = {container.id: container for container in containers}
        self.tracks = {key: track for key, track in self.tracks.items() if key in present}
        for key, container in present.items():
            track = self.tracks.get(key) or _health.Track(id=key, service=container.service, status="created")
            still_mending = key in self.mending and container.health == "unhealthy"
            since = _epoch(container.started_at) if track.status != container.status else track.since
            self.tracks[key] = replace(
                track,
                status=track.status if container.status == "restarting" else container.status,
                health=track.health if still_mending else container.health,
                exit_code=container.exit_code,
                error=container.error,
                since=since,
                waiting_since=0.0 if still_mending else track.waiting_since or since,
            )

    def hear(self, event: dict[str, t.Any]) -> None:
        """Take over one Engine event. Containers that are being replaced are none of our concern."""
        actor = event["Actor"]["Attributes"]
        service = actor.get(_engine.SERVICE_LABEL, "")
        known = {wanted.service for wanted in self.target.desired}
        replaced = {gone for change in self.target.changes for gone in change.replaces}
        container, action, now = event["Actor"]["ID"], event["Action"], event["timeNano"] / 1e9
        if container in replaced or service not in known or actor.get(_engine.ONEOFF_LABEL) == "True":
            return
        if action == "kill" and not _health.asks_to_stop(actor.get("signal", "")):
            return
        track = self.tracks.get(container) or _health.Track(id=container, service=service, status="created")
        after = _health.advance(track, action, exit_code=int(actor.get("exitCode", 0)), now=now)
        if after is None:
            self.tracks.pop(container, None)
        else:
            self.tracks[container] = after

    def verdicts(self, now: float) -> list[_health.Verdict]:
        """Return the verdict on every service of the target."""
        return [_health.judge(wanted, self.tracks.values(), now) for wanted in self.target.expectations]

    def wait_until(self, now: float) -> float:
        """Return when to look again if no event comes."""
        return _health.next_check(self.target.expectations, self.tracks.values(), now)


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


def prepare(client: t.Any, project: _compose.Project, options: Options) -> Target:
    """Compare the declared project with what runs."""
    model = _compose.config(project)
    services: dict[str, t.Any] = model["services"]
    unknown = sorted(set(options.services) - set(services))
    if unknown:
        raise StackError(
            f"The project has no service named {', '.join(unknown)}.",
            evidence=f"Its services are: {', '.join(sorted(services))}.",
            fix="Correct `services`.",
        )
    present = _engine.containers(client, model["name"])
    hashes = _compose.config_hashes(project, model, {item.service: item.id for item in reversed(present)})
    # Compose spec: an image that is built and has no name is called after project and service.
    images = {name: service.get("image") or f"{model['name']}-{name}" for name, service in services.items()}
    finishing = _must_finish(services)
    chosen = _with_dependencies(services, options.services or tuple(services))
    expectations = tuple(
        _health.expectation(
            name,
            services[name],
            name in finishing,
            wait_timeout=options.wait_timeout,
            stable_for=options.stable_for,
            image_check=_engine.image_healthcheck(client, images[name]),
        )
        for name in chosen
    )
    desired = tuple(
        _plan.Desired(
            service=wanted.service,
            config_hash=hashes[wanted.service],
            image_id=_engine.image_id(client, images[wanted.service]),
            replicas=wanted.replicas,
            may_finish=wanted.may_finish,
        )
        for wanted in expectations
    )
    every_service = [item for item in present if item.service in chosen or item.service not in services]
    changes = _plan.plan(desired, every_service, remove_orphans=options.remove_orphans)
    return Target(model["name"], desired, expectations, tuple(changes))


def bring_up(client: t.Any, project: _compose.Project, options: Options) -> tuple[Target, list[_health.Verdict]]:
    """Converge the project under the deploy lock; return the plan that was carried out and the gate's verdicts.

    Where there is nothing to do and nothing to wait for, neither lock nor Compose is touched.
    """
    target = prepare(client, project, options)
    if _plan.settled(target.changes):
        return target, []
    with _release.project_lock(target.name):
        # The holder before us may have changed what runs.
        target = prepare(client, project, options)
        if _plan.settled(target.changes):
            return target, []
        return target, apply(client, project, options, target)


def apply(client: t.Any, project: _compose.Project, options: Options, target: Target) -> list[_health.Verdict]:
    """Run Compose, follow the events, and return the verdicts once every service is ready.

    Raises GateClosed as soon as one service cannot become ready any more, or its time is over.
    """
    stream = _engine.EventStream(client, target.name)
    started = time.time()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        flags = ["--remove-orphans"] if options.remove_orphans else []
        # Compose 2.26 recreates what depends on a recreated service, too: it is told only of what changes.
        # Not --no-deps: that takes depends_on out of the config hash, and the next run would see a difference.
        names = [change.service for change in target.changes if change.action not in ("unchanged", "wait", "remove")]
        compose = _compose.start(_compose.up_argv(project, names, *flags), cwd=project.directory, output=output)
        watcher = threading.Thread(target=_announce_end, args=(compose, stream), daemon=True)
        watcher.start()
        try:
            verdicts = _follow(client, stream, target, deadline=started + options.wait_timeout)
        finally:
            if compose.poll() is None:
                compose.terminate()
            compose.wait()
            watcher.join()
            stream.close()
        output.seek(0)
        text = output.read()
    bad = [verdict for verdict in verdicts if verdict.status != "ready"]
    if not bad and compose.returncode == 0:
        return verdicts
    failures = [collect(client, target, verdict) for verdict in bad if verdict.status != "waiting"]
    if not failures:
        lines = text.strip().splitlines()[-20:]
        known = _diagnosis.explain(lines[::-1])
        raise StackError(
            f"Compose could not bring the project up. {known.cause if known else ''}".strip(),
            evidence="\n".join(lines),
            fix=known.fix if known else f"Try it by hand: `docker compose up` in {project.directory}.",
        )
    raise GateClosed(failures)


def summary(container: _engine.Container) -> dict[str, t.Any]:
    """Return what a person wants to know of a container; memory in MiB, 0 for unlimited."""
    return {
        "name": container.name,
        "service": container.service,
        "image": container.image_name,
        "state": container.status,
        "health": container.health,
        "cpus": container.cpus,
        "memory": container.memory // 1024**2,
    }


def collect(client: t.Any, target: Target, verdict: _health.Verdict) -> _diagnosis.Evidence:
    """Gather the evidence on a service from the worst of its containers that were meant to stay."""
    own = [item for item in _concerned(client, target) if item.service == verdict.service]
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
        error=worst.error,
        probes=worst.probes,
        log=_engine.log_tail(client, worst.id),
    )


def _follow(client: t.Any, stream: _engine.EventStream, target: Target, *, deadline: float) -> list[_health.Verdict]:
    gate = Gate(target)
    for container in _concerned(client, target):
        gate.see(container)
    compose_ended = False
    while True:
        now = time.time()
        verdicts = gate.verdicts(now)
        if any(verdict.status in ("failed", "timeout") for verdict in verdicts):
            return verdicts
        if compose_ended and all(verdict.status == "ready" for verdict in verdicts):
            return verdicts
        if now >= deadline:
            return [_overdue(verdict) for verdict in verdicts]
        event = stream.next(min(gate.wait_until(now), deadline) - now)
        if event is None:
            continue
        if event.get("Action") == _ENDED:
            compose_ended = True
            gate.reconcile(_concerned(client, target))
            if event["returncode"] != 0:
                return gate.verdicts(time.time())
        else:
            gate.hear(event)


def _concerned(client: t.Any, target: Target) -> list[_engine.Container]:
    replaced = {gone for change in target.changes for gone in change.replaces}
    known = {wanted.service for wanted in target.desired}
    return [
        container
        for container in _engine.containers(client, target.name)
        if container.id not in replaced and container.service in known
    ]


def _overdue(verdict: _health.Verdict) -> _health.Verdict:
    if verdict.status != "waiting":
        return verdict
    return replace(verdict, status="timeout", reason=f"is still {verdict.reason} at the end of wait_timeout")


def _announce_end(compose: t.Any, stream: _engine.EventStream) -> None:
    stream.put({"Action": _ENDED, "returncode": compose.wait()})


def _must_finish(services: t.Mapping[str, t.Any]) -> set[str]:
    return {
        name
        for definition in services.values()
        for name, dependency in (definition.get("depends_on") or {}).items()
        if dependency.get("condition") == "service_completed_successfully"
    }


def _with_dependencies(services: t.Mapping[str, t.Any], chosen: t.Iterable[str]) -> list[str]:
    wanted: set[str] = set()
    queue = list(chosen)
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue += [other for other in (services[name].get("depends_on") or {}) if other in services]
    return [name for name in services if name in wanted]


def _epoch(stamp: str) -> float:
    if stamp.startswith("0001-"):
        return 0.0
    # The Engine gives nanoseconds, datetime takes microseconds at most.
    return datetime.fromisoformat(stamp[:19] + "+00:00").timestamp()
