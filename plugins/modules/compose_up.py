#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_up
short_description: Converge a Compose project through the health gate, without losing a request
description:
  - Compares the project with what runs. Nothing differs and everything is healthy, then nothing is called.
  - Otherwise makes new containers beside the old, starts them in the order of their dependencies, on the Engine's
    events, and waits until every service is ready, or one cannot become ready.
  - A service with a healthcheck is ready when it is healthy, one without when it ran for O(stable_for) seconds without
    a restart, a one-shot when it exited with 0. Unhealthy, a second exit, an exit of a service that is not restarted,
    and the kernel's out-of-memory killer are failures at once.
  - Where it can be, a service is rolled, which means that its old containers run until the new ones have proven
    themselves. Otherwise it is recreated; its old containers are stopped first, and started again if the new ones fail.
  - At any failure what ran before is brought back, and the module fails with the findings.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.project, shipshape.stack.edge]
options:
  services:
    description: Services to bring up, with what they depend on; empty for all.
    type: list
    elements: str
    default: []
  remove_orphans:
    description: Remove containers of services that are no longer in the project, or whose profile is off.
    type: bool
    default: true
  wait_timeout:
    description: Seconds after which waiting ends in any case.
    type: int
    default: 300
  stable_for:
    description:
      - Seconds a service without a healthcheck must run to count as ready.
      - Also the seconds for which old containers stay after the switch, ready to take over.
    type: float
    default: 5
  strategies:
    description:
      - V(rolling), V(recreate) or V(auto) by service. It goes before the label C(shipshape.stack.strategy).
      - With V(auto) a service is rolled when the edge, or Traefik, follows its health, and nothing is in the way -
        a published port, a volume it writes to, a fixed name or address, a shared namespace.
    type: dict
    default: {}
  probes:
    description:
      - Requests that have to be answered as described, or the release is not deployed.
      - They are sent twice. Before the switch through a second edge, which leads to the new containers only and which
        nobody else knows; after it through the edge itself, and a wrong answer then takes the switch back.
      - Where no second edge can be had (nginx in the host's network, a site behind a port that nginx does not publish)
        there is a warning, and only the second time.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path and query.
        type: str
        required: true
      status:
        description: Expected status.
        type: int
        default: 200
      body:
        description: Regular expression to be found in the body.
        type: str
        default: ""
      json:
        description: Expected values by key; dots lead into objects and lists.
        type: dict
        default: {}
      headers:
        description: Headers of the request.
        type: dict
        default: {}
      max_seconds:
        description: Ceiling for the whole answer, in seconds.
        type: float
        default: 5
  logs:
    description: Directory on the host in which the logs of failed containers are kept.
    type: path
  progress_file:
    description: File to which progress is written, a line at a time. The action plugin of the same name shows it.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and reports the plan that a real run carries out.
    support: full
  diff_mode:
    description: Shows images and keys of the configuration before and after, secrets masked.
    support: full
"""

EXAMPLES = r"""
- name: Bring the stack up
  shipshape.stack.compose_up:
    project_src: /srv/shop/current
    wait_timeout: 120

- name: Roll the backend behind nginx, and ask it through the edge
  shipshape.stack.compose_up:
    project_src: /srv/shop/current
    edge:
      directory: /srv/shop/nginx
      certificates: [/srv/shop/tls]
      upstreams: {backend: 8000, frontend: 8080}
      url: https://shop.example.com
      address: 127.0.0.1:443
    probes:
      - {path: /api/health, json: {status: ok}, max_seconds: 1}
"""

RETURN = r"""
actions:
  description:
    - What happens to each service, and why.
    - An action is one of unchanged, create, start, roll, recreate, reload, remove.
    - C(strategy) is the reason for roll or recreate.
  returned: success
  type: list
  elements: dict
  sample:
    - service: backend
      action: roll
      reasons: [image changed]
      strategy: "rolling: the edge switches to the ready containers"
verdicts:
  description: What the gate said of each service.
  returned: success; empty when there was nothing to bring up
  type: list
  elements: dict
  sample: [{service: backend, status: ready, reason: healthy}]
containers:
  description: The containers of the project after the run - image, state, health, limits in cores and MiB.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: shop-db-1, service: db, image: "db@sha256:…", state: running, health: healthy, cpus: 0.5, memory: 256}
seconds:
  description: Seconds it took.
  returned: success
  type: float
  sample: 9.2
failures:
  description:
    - Evidence on each service that did not become ready - state, exit code, memory kill, restarts, the outputs of the
      last probes, the log's tail - with the findings drawn from it.
  returned: when the gate stayed closed
  type: list
  elements: dict
serving:
  description: What serves each service that was to change, in words.
  returned: when a rollout was taken back
  type: dict
  sample: {backend: "its old container, untouched"}
"""

import signal
import time
import typing as t
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _edge,
    _engine,
    _health,
    _memory,
    _module,
    _plan,
    _probes,
    _rollout,
    _target,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._progress import Progress

PROBE_OPTIONS: dict[str, t.Any] = {
    "path": {"type": "str", "required": True},
    "status": {"type": "int", "default": 200},
    "body": {"type": "str", "default": ""},
    "json": {"type": "dict", "default": {}},
    "headers": {"type": "dict", "default": {}},
    "max_seconds": {"type": "float", "default": 5},
}


def actions(target: _target.Target) -> list[dict[str, t.Any]]:
    """Return the plan as plain data."""
    return [
        {
            "service": change.service,
            "action": change.action,
            "reasons": list(change.reasons),
            **({"strategy": change.why} if change.why else {}),
        }
        for change in target.changes
    ]


def difference(target: _target.Target) -> dict[str, str]:
    """Return what differs between the containers that go and those that come: images and keys of the configuration."""
    before, after = [], []
    for change in target.changes:
        old = [item for item in target.present if item.id in change.replaces]
        wanted = next((item for item in target.desired if item.service == change.service), None)
        if change.create and wanted and change.service in target.origins:
            after.append(f"{change.service}.image: {wanted.image_id or 'to be pulled'}")
        for item in old:
            before.append(f"{change.service}.image: {item.image}")
            origin = target.memory.origins.get(item.id)
            if origin and change.create:
                gone, new = _memory.changed_keys(origin, target.origins[change.service])
                before += [f"{change.service}.{line}" for line in gone]
                after += [f"{change.service}.{line}" for line in new]
    lines = [sorted(set(side)) for side in (before, after)]
    return {"before": "".join(f"{line}\n" for line in lines[0]), "after": "".join(f"{line}\n" for line in lines[1])}


def options_from(params: dict[str, t.Any]) -> _target.Options:
    """Return the options of the rollout. Raises StackError for what does not fit together."""
    edge = params["edge"]
    if params["probes"] and not (edge and edge["url"]):
        raise StackError("`probes` need `edge.url`.", fix="Set it to the site's address as users write it.")
    return _target.Options(
        services=tuple(params["services"]),
        remove_orphans=params["remove_orphans"],
        wait_timeout=params["wait_timeout"],
        stable_for=params["stable_for"],
        strategies=params["strategies"],
        edge=_edge.from_options(edge) if edge else None,
        reload=bool(edge and edge["reload"]),
        site=_probes.Site(edge["url"], edge["address"], edge["ca"] or "") if params["probes"] else None,
        probes=tuple(_probes.Probe(**probe) for probe in params["probes"]),
        logs=Path(params["logs"]) if params["logs"] else None,
    )


def converge(module: AnsibleModule, project: _compose.Project, options: _target.Options) -> dict[str, t.Any]:
    """Plan, and apply the plan unless in check mode."""
    begun = time.monotonic()
    client = _engine.connect()
    verdicts: list[_health.Verdict] = []
    if module.check_mode:
        target = _target.prepare(client, project, options)
    else:
        progress = Progress(module.params["progress_file"])
        target, verdicts = _rollout.bring_up(client, project, options, progress)
    if target.unrehearsed:
        module.warn(f"The probes ask after the switch only, so users meet a wrong answer first: {target.unrehearsed}.")
    result: dict[str, t.Any] = {
        "seconds": round(time.monotonic() - begun, 2),
        "changed": _plan.changes_something(target.changes),
        "actions": actions(target),
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "containers": [_engine.summary(item) for item in _engine.containers(client, target.name)],
    }
    if module._diff and result["changed"]:
        result["diff"] = difference(target)
    return result


def interrupted(number: int, _frame: t.Any) -> t.NoReturn:
    """End as after any other failure: what ran before is brought back."""
    raise StackError(f"The rollout was ended by signal {number}.", fix="Repeat the deploy.")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_module.PROJECT_OPTIONS,
            "services": {"type": "list", "elements": "str", "default": []},
            "remove_orphans": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
            "stable_for": {"type": "float", "default": 5},
            "strategies": {"type": "dict", "default": {}},
            "edge": {"type": "dict", "options": _edge.OPTIONS},
            "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE_OPTIONS},
            "logs": {"type": "path"},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    signal.signal(signal.SIGTERM, interrupted)

    def work() -> dict[str, t.Any]:
        missing = _module.not_there_yet(module, str(_module.ENGINE_SOCKET), params["project_src"])
        if missing:
            return {"changed": True, "actions": [], "msg": f"{missing} does not exist yet."}
        return converge(module, _module.project(params), options_from(params))

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
