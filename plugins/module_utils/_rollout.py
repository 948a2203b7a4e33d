# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conductor of `compose_up`: make new containers, start them, wait at the gate, switch, prove, retire the old.

Nothing that runs is removed before the new has proven itself, so at any failure what ran before can serve on.
"""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _edge,
    _engine,
    _gate,
    _health,
    _plan,
    _probes,
    _rehearsal,
    _release,
    _strategy,
    _target,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import EngineGoneError, StackError, understood
from ansible_collections.shipshape.stack.plugins.module_utils._progress import Progress

_STARTED, _BROKEN, _DRAINED = (f"shipshape.{name}" for name in ("started", "broken", "drained"))
MAKE_SECONDS = 1800.0
"""Compose may have to pull images before it makes containers."""
REPORT_SECONDS = 5.0
LOG_LINES = 1000


def bring_up(
    client: t.Any, project: _compose.Project, options: _target.Options, progress: Progress | None = None
) -> tuple[_target.Target, list[_health.Verdict]]:
    """Converge the project under the deploy lock; return the plan that was carried out and the gate's verdicts.

    Where there is nothing to do and nothing to wait for, neither lock nor Compose is touched.
    """
    target = _target.prepare(client, project, options)
    if _plan.settled(target.changes):
        return target, []
    with _release.project_lock(target.name):
        # The holder before us may have changed what runs.
        target = _target.prepare(client, project, options)
        if _plan.settled(target.changes):
            return target, []
        return target, Rollout(client, project, options, target, progress or Progress(None)).run()


class Rollout:
    """One rollout of a target. The steps of ``run`` are in the order in which they happen."""

    def __init__(
        self,
        client: t.Any,
        project: _compose.Project,
        options: _target.Options,
        target: _target.Target,
        progress: Progress,
    ) -> None:
        self._client, self._project, self._options, self._target = client, project, options, target
        self._say = progress.say
        self._stream = _engine.EventStream(client, target.name)
        self._gate = _gate.Gate(
            target.expectations,
            replaced=target.replaced,
            starting=frozenset(item for change in target.changes for item in change.starts),
            patient=_plan.changes_something(target.changes),
        )
        self._pool = ThreadPoolExecutor(max_workers=8)
        self._waiting = {
            change.service for change in target.changes if change.service in target.services and _starts(change)
        }
        self._busy: set[str] = set()
        self._stopped: list[_engine.Container] = []
        self._files_before: dict[str, str] | None = None
        self._draining: dict[int, int] = {}

    def run(self) -> list[_health.Verdict]:
        """Carry the plan out and return the verdicts. Whatever is raised, what ran before was brought back first."""
        try:
            if self._target.edge:
                _rehearsal.clear_away(self._client, self._target.name, self._target.edge)
            self._make()
            verdicts = self._start_and_wait()
            self._rehearse()
            self._switch()
            self._prove()
        except BaseException as error:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._fail(error, self._return(error))
        finally:
            _edge.close(self._draining)
            self._stream.close()
        try:
            self._retire()
        except BaseException as error:
            self._fail(error, self._what_stays())
        finally:
            self._pool.shutdown()
        return verdicts

    def _fail(self, error: BaseException, serving: dict[str, str]) -> t.NoReturn:
        """Raise what a person has to know of an error, with what serves."""
        told = understood(error)
        if told is None:
            raise error
        told.serving = serving
        raise told

    # Make and start

    def _make(self) -> None:
        """Make the new containers beside the old, where they can exist beside them."""
        count = {
            change.service: sum(item.service == change.service for item in self._target.present) + change.create
            for change in self._target.changes
            if change.create and not self._by_compose(change.service)
        }
        if count:
            self._unpause()
            _compose.create(self._project, count, "--no-recreate", timeout=MAKE_SECONDS)
        own = self._own()
        for container in own:
            self._gate.see(container)
        self._remember(own)

    def _unpause(self) -> None:
        """Let paused containers go on: Compose, in making others beside them, would try to start them and give up."""
        for container in self._target.present:
            if container.status == "paused" and container.service in self._target.services:
                words = _engine.start(self._client, container)
                if words:
                    raise StackError(f"The paused container {container.name} cannot go on.", evidence=words)

    def _remember(self, containers: t.Sequence[_engine.Container]) -> None:
        """Write down what the new containers were made from, and those of an earlier tool."""
        memory = self._target.memory
        new = {item.id: self._target.origins[item.service] for item in containers if item.id not in memory.origins}
        memory.remember(new, {*(item.id for item in self._target.present), *(item.id for item in containers)})

    def _start_and_wait(self) -> list[_health.Verdict]:
        """Start each service when its dependencies are ready, and wait until all are."""
        begun = time.time()
        deadline = begun + self._options.wait_timeout
        told: dict[str, str] = {}
        report = begun + REPORT_SECONDS
        while True:
            now = time.time()
            self._launch(now)
            if now >= report:
                for container in self._own():
                    self._gate.look_again(container)
            verdicts = self._gate.verdicts(now)
            for verdict in verdicts:
                is_news = verdict.status == "ready" and told.get(verdict.service) != "ready"
                if is_news and _starts(self._target.change(verdict.service)):
                    self._say(f"{verdict.service}: ready after {now - begun:.1f} s ({verdict.reason})")
                told[verdict.service] = verdict.status
            if now >= deadline:
                # Those that have not begun wait for one that is late, if there is one: it is to be named, not they.
                late = {item.service for item in verdicts if item.status == "waiting"}
                late = late - self._waiting or late
                verdicts = [_overdue(verdict) if verdict.service in late else verdict for verdict in verdicts]
            self._refuse(verdicts)
            if not self._waiting and not self._busy and all(verdict.status == "ready" for verdict in verdicts):
                return verdicts
            if now >= report:
                self._report(verdicts, now)
                report = now + REPORT_SECONDS
            self._next_event(min(self._gate.wait_until(now), deadline, report))

    def _refuse(self, verdicts: t.Iterable[_health.Verdict]) -> None:
        bad = [verdict for verdict in verdicts if verdict.status in ("failed", "timeout")]
        if bad:
            raise _gate.GateClosed([_gate.collect(self._client, self._own(), verdict) for verdict in bad])

    def _next_event(self, until: float) -> str:
        """Take over the next event, if there is one before ``until``; return its name."""
        event = self._stream.next(until - time.time())
        if event is None:
            return ""
        action = str(event["Action"])
        if action == _BROKEN:
            raise event["error"]
        if action == _STARTED:
            self._busy.discard(event["service"])
            for container, words in event["refused"].items():
                self._gate.could_not_start(container, words)
        elif not action.startswith("shipshape."):
            self._gate.hear(event)
        return action

    def _launch(self, now: float) -> None:
        """Start every service whose dependencies have got where it needs them."""
        for service in sorted(self._waiting):
            if self._may_start(service, now):
                self._waiting.discard(service)
                self._busy.add(service)
                self._pool.submit(self._start, service)

    def _may_start(self, service: str, now: float) -> bool:
        needs = {
            name: dependency.get("condition", "service_started")
            for name, dependency in (self._target.services[service].get("depends_on") or {}).items()
            if name in self._target.services and dependency.get("required", True)
        }
        edge = self._target.edge
        if edge and service == edge.service:
            looked_at = {wanted.service for wanted in self._target.desired}
            needs |= {name: "service_healthy" for name in edge.upstreams if name in looked_at}
        return all(
            name not in self._waiting and name not in self._busy and self._gate.reached(name, condition, now)
            for name, condition in needs.items()
        )

    def _start(self, service: str) -> None:
        """Stop the old containers where they are in the way, and start the new ones (in a thread)."""
        try:
            change = self._target.change(service)
            if change.action != "roll":
                self._stop_old(change)
            if self._by_compose(service) and change.create:
                flags = ["--no-recreate"] if change.action == "create" else []
                replicas = next(item.replicas for item in self._target.desired if item.service == service)
                _compose.create(self._project, {service: replicas}, *flags, timeout=self._options.wait_timeout)
            if self._target.edge and service == self._target.edge.service:
                self._write_edge(self._target.edge)
            refused = {}
            if change.create and _strategy.needs_compose_to_start(self._target.services[service]):
                _compose.start_services(self._project, [service], timeout=self._options.wait_timeout)
            else:
                for container in self._own(service):
                    if container.status in ("created", "exited", "paused"):
                        words = "" if self._is_done(container) else _engine.start(self._client, container)
                        if words:
                            refused[container.id] = words
            self._stream.put({"Action": _STARTED, "service": service, "refused": refused})
        except Exception as error:
            self._stream.put({"Action": _BROKEN, "error": error})

    def _is_done(self, container: _engine.Container) -> bool:
        """Whether a one-shot has done its work: it is not started again because a replica of it is."""
        change = self._target.change(container.service)
        known = any(item.id == container.id for item in self._target.present)
        return known and container.id not in change.starts

    def _stop_old(self, change: _plan.Change) -> None:
        old = [item for item in self._target.present if item.id in change.replaces and item.status in _plan.ACTIVE]
        if change.create or change.starts:
            for container in old:
                self._say(f"{change.service}: stopping {container.name}")
                # Noted before: a stop that fails half-way has to be taken back as well.
                self._stopped.append(container)
                _engine.stop(self._client, container)

    def _report(self, verdicts: t.Iterable[_health.Verdict], now: float) -> None:
        present = self._own()
        for verdict in verdicts:
            if verdict.status != "waiting":
                continue
            own = [item for item in present if item.service == verdict.service and item.status == "running"]
            since = min((item.started for item in own), default=0.0)
            failed = max((item.failing_probes for item in own), default=0)
            probes = f", {failed} probes failed" if failed else ""
            seconds = f" for {now - since:.0f} s" if since else ""
            self._say(f"{verdict.service}: {verdict.reason}{seconds}{probes}")

    # Switch

    def _write_edge(self, edge: _edge.Edge) -> bool:
        """Bring the edge's files up to date; return whether anything changed."""
        live, files = edge.live(), edge.files(_target.ready_names(self._serving()))
        if live == files:
            return False
        if self._files_before is None:
            self._files_before = live
        edge.write(files)
        return True

    def _rehearse(self) -> None:
        """Ask the new containers what the probes want to know while nobody else asks them."""
        edge, site = self._target.edge, self._options.site
        if edge is None or site is None or not self._options.probes:
            return
        if self._target.change(edge.service).action != "reload":
            # An edge that starts has nobody to protect, and one without news leads where it led.
            return
        if self._target.unrehearsed:
            self._say(f"the probes ask after the switch only: {self._target.unrehearsed}")
            return
        begun = time.time()
        names = _target.ready_names(self._serving())
        _rehearsal.run(self._client, self._project, self._target.model, edge, names, site, self._options.probes)
        self._say(f"{len(self._options.probes)} probes of the new containers passed in {time.time() - begun:.1f} s")

    def _switch(self) -> None:
        """Let the edge send requests to the new containers, and no more to the old."""
        edge = self._target.edge
        if edge is None:
            return
        wrote = self._write_edge(edge)
        if self._target.change(edge.service).action not in ("reload", "unchanged"):
            return
        if wrote or self._target.change(edge.service).action == "reload":
            begun = time.time()
            for container in self._edges(edge):
                self._draining |= _edge.reload(self._client, container)
            left = f", {len(self._draining)} old workers finish their requests" if self._draining else ""
            self._say(f"{edge.service}: reloaded in {time.time() - begun:.1f} s{left}")

    def _edges(self, edge: _edge.Edge) -> list[_engine.Container]:
        return [item for item in self._serving() if item.service == edge.service and item.status == "running"]

    # Prove and retire

    def _prove(self) -> None:
        """Ask through the edge, and watch the new containers while the old could still take over."""
        if self._options.site and self._options.probes:
            _probes.run(self._options.site, self._options.probes)
            self._say(f"{len(self._options.probes)} probes through the edge passed")
        renewed = [change for change in self._target.changes if change.action in ("roll", "recreate")]
        begun = time.time()
        until = begun + self._options.stable_for if renewed else begun
        # Where nothing is stopped, nobody has to wait for nginx's old workers.
        drained = not (self._draining and self._target.replaced)
        drain_timeout = self._target.edge.drain_timeout if self._target.edge else 0.0
        if not drained:
            old, self._draining = self._draining, {}
            threading.Thread(target=self._drain, args=(old, drain_timeout), daemon=True).start()
        names = {change.service for change in renewed}
        if renewed:
            seconds = self._options.stable_for
            self._say(f"{', '.join(sorted(names))}: in the place of the old, which stay for another {seconds:g} s")
        while True:
            now = time.time()
            verdicts = self._gate.verdicts(now)
            self._refuse(
                replace(verdict, status="failed", reason=self._fallen(verdict, now - begun))
                if verdict.service in names and verdict.status == "waiting"
                else verdict
                for verdict in verdicts
            )
            if now >= until and drained:
                return
            if self._next_event(until if now < until else now + drain_timeout + 1) == _DRAINED:
                drained = True

    def _fallen(self, verdict: _health.Verdict, seconds: float) -> str:
        fallen = [item for item in self._gate.tracks.values() if item.service == verdict.service and item.exits]
        what = f"exited with code {fallen[0].exit_code}" if fallen else f"is {verdict.reason}"
        return f"{what} {seconds:.1f} s after it was ready"

    def _drain(self, old: dict[int, int], timeout: float) -> None:
        _edge.drained(old, timeout)
        _edge.close(old)
        self._stream.put({"Action": _DRAINED})

    def _retire(self) -> None:
        """Stop, with their grace period, and remove what was replaced."""
        gone = [item for item in self._target.present if item.id in self._target.replaced]

        def retire(container: _engine.Container) -> None:
            if container.status in _plan.ACTIVE:
                self._say(f"{container.service}: {container.name} may take {container.stop_timeout} s to stop")
                _engine.stop(self._client, container)
            _engine.remove(self._client, container.id)

        list(self._pool.map(retire, gone))
        # Again: Compose may have made some later, and those above are gone.
        self._remember(self._own())

    def _what_stays(self) -> dict[str, str]:
        """Return what serves each service that was replaced, in words, when the old could not be removed."""
        renewed = (change.service for change in self._target.changes if change.action in ("roll", "recreate"))
        return dict.fromkeys(renewed, "its new container, and the old one is not removed yet")

    # Return

    def _return(self, error: BaseException) -> dict[str, str]:
        """Bring back what ran before. Return service -> what serves it now, in words."""
        present = self._target.present
        if isinstance(error, _gate.GateClosed) and self._options.logs:
            self._keep_logs(self._options.logs, {item.container for item in error.failures})
        if not present:
            # The first deploy: what came up stays for a look at it, and no traffic goes there.
            return {}
        try:
            return self._bring_back()
        except Exception as second:
            told = understood(second)
            if isinstance(told, EngineGoneError):
                return {"": "Nothing was taken back: containers run on without the Engine where `live-restore` is set."}
            words = f"{told.cause} {told.evidence}" if told else second
            return {"": f"The return to what ran before failed, too: {words}. Repeat the deploy: it converges."}

    def _bring_back(self) -> dict[str, str]:
        self._say("returning to what ran before")
        ids = {item.id for item in self._target.present}
        for container in self._stopped:
            self._unblock(container, ids)
        switched = self._files_before is not None
        if self._target.edge and self._files_before is not None:
            self._target.edge.write(self._files_before)
            for container in self._edges(self._target.edge):
                if container.id in ids:
                    _edge.close(_edge.reload(self._client, container))
        for container in _engine.containers(self._client, self._target.name):
            if container.id not in ids:
                _engine.stop(self._client, container)
                _engine.remove(self._client, container.id)
        return self._what_serves(switched=switched)

    def _unblock(self, container: _engine.Container, ids: set[str]) -> None:
        """Start an old container again, after what took its place, or a port of it, has been stopped."""
        for other in _engine.containers(self._client, self._target.name):
            in_the_way = other.service == container.service or other.ports & container.ports
            if in_the_way and other.id not in ids and other.status in _plan.ACTIVE:
                _engine.stop(self._client, other)
        fresh = _engine.inspect(self._client, container.id)
        if fresh is not None and fresh.status not in _plan.ACTIVE:
            words = _engine.start(self._client, fresh)
            if words:
                raise StackError(f"{container.name} could not be started again:", evidence=words)

    def _what_serves(self, *, switched: bool) -> dict[str, str]:
        """Wait until the old containers that were stopped are ready again; return what serves each changed service."""
        again = {item.service for item in self._stopped}
        expectations = tuple(item for item in self._target.expectations if item.service in again)
        gate = _gate.Gate(expectations)
        with contextlib.closing(_engine.EventStream(self._client, self._target.name)) as stream:
            for container in _engine.containers(self._client, self._target.name):
                if container.service in again:
                    gate.see(container)
            while any(verdict.status == "waiting" for verdict in gate.verdicts(time.time())):
                event = stream.next(min(gate.wait_until(time.time()) - time.time(), REPORT_SECONDS))
                if event is not None:
                    gate.hear(event)
        sick = {verdict.service: verdict.reason for verdict in gate.verdicts(time.time()) if verdict.status != "ready"}
        serving = {}
        for change in self._target.changes:
            if change.action not in ("roll", "recreate"):
                continue
            lost = not any(
                container.id in change.replaces for container in _engine.containers(self._client, self._target.name)
            )
            if lost:
                serving[change.service] = "nothing: Compose had removed the old container"
            elif change.service in sick:
                serving[change.service] = f"its old container, started again, which {sick[change.service]}"
            elif change.service in again:
                serving[change.service] = "its old container, started again"
            else:
                serving[change.service] = f"its old container{', switched back' if switched else ', untouched'}"
        return serving

    def _keep_logs(self, directory: Path, names: set[str]) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        for container in self._own():
            if container.name in names:
                text = _engine.log_tail(self._client, container.id, LOG_LINES)
                _release.write_atomically(directory / f"{container.name}.log", text + "\n", mode=0o640)

    # What there is

    def _own(self, service: str = "") -> list[_engine.Container]:
        """Return the containers that are meant to stay, of all services or of one."""
        known = {wanted.service for wanted in self._target.desired}
        return [
            item
            for item in _engine.containers(self._client, self._target.name, service)
            if item.id not in self._target.replaced and item.service in known
        ]

    def _serving(self) -> list[_engine.Container]:
        """Return the containers requests may go to, of services that were not asked for, too."""
        return [
            item for item in _engine.containers(self._client, self._target.name) if item.id not in self._target.replaced
        ]

    def _by_compose(self, service: str) -> bool:
        return next(item.strategy.by_compose for item in self._target.desired if item.service == service)


def _starts(change: _plan.Change) -> bool:
    return bool(change.create or change.starts)


def _overdue(verdict: _health.Verdict) -> _health.Verdict:
    if verdict.status != "waiting":
        return verdict
    return replace(verdict, status="timeout", reason=f"is still {verdict.reason} at the end of wait_timeout")
