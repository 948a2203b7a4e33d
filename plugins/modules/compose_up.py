#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_up
short_description: Converge a Compose project through the health gate
description:
  - Compares the project with what runs. Nothing differs and everything is healthy, then nothing is called.
  - Otherwise brings it up and follows the Engine's events until every service is ready, or one cannot become ready.
  - A service with a healthcheck is ready when it is healthy, one without when it ran for O(stable_for) seconds without
    a restart, a one-shot when it exited with 0. Unhealthy, a second exit, an exit of a service that is not restarted,
    and the kernel's out-of-memory killer are failures at once.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.project]
options:
  services:
    description: Services to bring up, with what they depend on; empty for all.
    type: list
    elements: str
    default: []
  remove_orphans:
    description: Remove containers of services that are no longer in the project.
    type: bool
    default: true
  wait_timeout:
    description: Seconds after which waiting ends in any case.
    type: int
    default: 300
  stable_for:
    description: Seconds a service without a healthcheck must run to count as ready.
    type: float
    default: 5
attributes:
  check_mode:
    description: Can run in check mode and reports the plan.
    support: full
  diff_mode:
    description: Shows for each service what runs and what is declared.
    support: full
"""

EXAMPLES = r"""
- name: Bring the stack up
  shipshape.stack.compose_up:
    project_src: /srv/shop/current
    wait_timeout: 120
"""

RETURN = r"""
actions:
  description: What happens to each service, and why.
  returned: success
  type: list
  elements: dict
  sample: [{service: backend, action: recreate, reasons: [configuration changed]}]
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
failures:
  description:
    - Evidence on each service that did not become ready - state, exit code, memory kill, restarts, the outputs of the
      last probes, the log's tail - with the findings drawn from it.
  returned: when the gate stayed closed
  type: list
  elements: dict
"""

import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _engine,
    _health,
    _module,
    _plan,
    _rollout,
)


def actions(target: _rollout.Target) -> list[dict[str, t.Any]]:
    """Return the plan as plain data."""
    return [
        {"service": change.service, "action": change.action, "reasons": list(change.reasons)}
        for change in target.changes
    ]


def difference(target: _rollout.Target, present: t.Sequence[_engine.Container]) -> dict[str, str]:
    """Return the diff of what runs and what is declared, a line a service."""
    before = {f"{item.service}: image {item.image} config {item.config_hash}" for item in present}
    after = {f"{wanted.service}: image {wanted.image_id} config {wanted.config_hash}" for wanted in target.desired}
    return {"before": "\n".join(sorted(before)) + "\n", "after": "\n".join(sorted(after)) + "\n"}


def converge(module: AnsibleModule, project: _compose.Project, options: _rollout.Options) -> dict[str, t.Any]:
    """Plan, and apply the plan unless in check mode."""
    client = _engine.connect()
    present = _engine.containers(client, _compose.config(project)["name"]) if module._diff else []
    verdicts: list[_health.Verdict] = []
    if module.check_mode:
        target = _rollout.prepare(client, project, options)
    else:
        target, verdicts = _rollout.bring_up(client, project, options)
    result: dict[str, t.Any] = {
        "changed": _plan.changes_something(target.changes),
        "actions": actions(target),
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "containers": [_rollout.summary(item) for item in _engine.containers(client, target.name)],
    }
    if module._diff and result["changed"]:
        result["diff"] = difference(target, present)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_module.PROJECT_OPTIONS,
            "services": {"type": "list", "elements": "str", "default": []},
            "remove_orphans": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 300},
            "stable_for": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    params = module.params
    options = _rollout.Options(
        services=tuple(params["services"]),
        remove_orphans=params["remove_orphans"],
        wait_timeout=params["wait_timeout"],
        stable_for=params["stable_for"],
    )

    def work() -> dict[str, t.Any]:
        missing = _module.not_there_yet(module, str(_module.ENGINE_SOCKET), params["project_src"])
        if missing:
            return {"changed": True, "actions": [], "msg": f"{missing} does not exist yet."}
        return converge(module, _module.project(params), options)

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
