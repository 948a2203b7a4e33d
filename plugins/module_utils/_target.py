# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared project beside what runs: everything is looked at here once, and the plan is made of it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _edge,
    _engine,
    _health,
    _memory,
    _plan,
    _probes,
    _rehearsal,
    _strategy,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


@dataclass(frozen=True)
class Options:
    """The user's wishes; times are seconds. An empty ``services`` means all of them.

    ``logs`` is where the logs of failed containers are kept; ``reload`` says that the edge has new files.
    """

    services: tuple[str, ...] = ()
    remove_orphans: bool = True
    wait_timeout: float = 300.0
    stable_for: float = 5.0
    strategies: t.Mapping[str, str] = field(default_factory=dict)
    edge: _edge.Edge | None = None
    reload: bool = False
    site: _probes.Site | None = None
    probes: tuple[_probes.Probe, ...] = ()
    logs: Path | None = None


@dataclass(frozen=True)
class Target:
    """A project as it should be, what there is of it, and the plan that leads from there."""

    name: str
    model: t.Mapping[str, t.Any]
    desired: tuple[_plan.Desired, ...]
    expectations: tuple[_health.Expectation, ...]
    present: tuple[_engine.Container, ...]
    changes: tuple[_plan.Change, ...]
    edge: _edge.Edge | None
    memory: _memory.Memory
    origins: t.Mapping[str, _memory.Origin]
    unrehearsed: str
    """Why the probes cannot ask before the switch; empty if they can, or there are none."""

    @property
    def services(self) -> t.Mapping[str, t.Any]:
        """Return the definitions of the services."""
        return t.cast("t.Mapping[str, t.Any]", self.model["services"])

    def change(self, service: str) -> _plan.Change:
        """Return what happens to a service."""
        return next(change for change in self.changes if change.service == service)

    @property
    def replaced(self) -> frozenset[str]:
        """Return the ids of the containers that go."""
        return frozenset(gone for change in self.changes for gone in change.replaces)


def prepare(client: t.Any, project: _compose.Project, options: Options) -> Target:
    """Compare the declared project with what runs."""
    model = _compose.config(project)
    services: dict[str, t.Any] = model["services"]
    named = {*options.services, *options.strategies}
    if options.edge:
        named.add(options.edge.service)
        # A release of before may lack a service that the edge knows today.
        known = {name: port for name, port in options.edge.upstreams.items() if name in services}
        options = replace(options, edge=replace(options.edge, upstreams=known))
    unknown = sorted(named - set(services))
    if unknown:
        raise StackError(
            f"The project has no service named {', '.join(unknown)}.",
            evidence=f"Its services are: {', '.join(sorted(services))}.",
            fix="Correct `services`, `strategies` or `edge`.",
        )
    present = _engine.containers(client, model["name"])
    hashes = _compose.config_hashes(project, model, {item.service: item.id for item in reversed(present)})
    # Compose spec: an image that is built and has no name is called after project and service.
    images = {name: service.get("image") or f"{model['name']}-{name}" for name, service in services.items()}
    finishing = _must_finish(services)
    chosen = _with_dependencies(services, options.services or tuple(services))
    switched = frozenset(options.edge.upstreams) if options.edge else frozenset()
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
    # What the edge sends requests to is no one-shot, whatever its restart policy says.
    expectations = tuple(
        replace(item, may_finish=item.must_finish) if item.service in switched else item for item in expectations
    )
    desired = tuple(
        _plan.Desired(
            service=wanted.service,
            config_hash=hashes[wanted.service],
            image_id=_engine.image_id(client, images[wanted.service]),
            replicas=wanted.replicas,
            may_finish=wanted.may_finish,
            strategy=_strategy.choose(
                wanted.service,
                services,
                wish=options.strategies.get(wanted.service, "auto"),
                switched=wanted.service in switched,
                finishes=wanted.may_finish,
                has_healthcheck=wanted.has_healthcheck,
                anonymous_volumes=any(item.anonymous_volumes for item in present if item.service == wanted.service),
            ),
            ports=_strategy.published(services[wanted.service]),
            follows=_strategy.follows(services[wanted.service]),
        )
        for wanted in expectations
    )
    looked_at = [item for item in present if item.service in chosen or item.service not in services]
    memory = _memory.read(model["name"])
    origins = {name: memory.origin(name, model) for name in chosen}
    outdated = {
        item.id: f"{', '.join(files)} changed"
        for item in looked_at
        if item.service in origins and item.id in memory.origins
        if (files := _memory.changed_files(memory.origins[item.id], origins[item.service]))
    }
    changes = _plan.plan(desired, looked_at, remove_orphans=options.remove_orphans, outdated=outdated)
    if options.edge:
        if options.edge.service not in chosen:
            # Not asked for, yet it has to switch.
            changes.append(_plan.Change(options.edge.service, "unchanged"))
        changes = _plan.reload(
            changes, options.edge.service, _reasons_to_reload(options, options.edge, present, changes)
        )
    return Target(
        name=model["name"],
        model=model,
        desired=desired,
        expectations=expectations,
        present=tuple(present),
        changes=tuple(changes),
        edge=options.edge,
        memory=memory,
        origins=origins,
        unrehearsed=(
            _rehearsal.obstacle(services[options.edge.service], options.edge, options.site)
            if options.edge and options.site
            else ""
        ),
    )


def _reasons_to_reload(
    options: Options, edge: _edge.Edge, present: t.Sequence[_engine.Container], changes: t.Sequence[_plan.Change]
) -> list[str]:
    moving = {change.service for change in changes if change.action in ("create", "roll", "recreate", "remove")}
    reasons = [f"the containers of {name} change" for name in edge.upstreams if name in moving]
    gone = {item for change in changes for item in change.replaces}
    names = ready_names(item for item in present if item.id not in gone)
    live, wanted = edge.live(), edge.files(names)
    for name in edge.upstreams:
        path = f"{_edge.SERVERS}/{name}.conf"
        if name not in moving and live.get(path) != wanted[path]:
            reasons.append(f"the list of servers of {name} is not what runs")
    other = [name for name in {*live, *wanted} if not name.startswith(f"{_edge.SERVERS}/")]
    if any(live.get(name) != wanted.get(name) for name in other):
        reasons.append("configuration changed")
    running = [item for item in present if item.service == edge.service and item.status == "running"]
    if options.reload or any(_edge.has_to_load(item, [edge.directory, *edge.watched]) for item in running):
        reasons.append("files are newer than what nginx has loaded")
    return reasons


def ready_names(containers: t.Iterable[_engine.Container]) -> dict[str, list[str]]:
    """Return the names of the containers that may get requests, by service."""
    names: dict[str, list[str]] = {}
    for item in containers:
        if item.status == "running" and item.health in ("none", "healthy"):
            names.setdefault(item.service, []).append(item.name)
    return names


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
