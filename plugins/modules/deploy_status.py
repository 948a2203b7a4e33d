#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_status
short_description: Tell whether the declared project is what runs, healthy and migrated
description:
  - Looks, in one call, at all that the steps of a deploy would look at one after the other - are the images built, is
    the current release the declared project, is the database at its head, do the containers match and are they
    healthy. Changes nothing.
  - When the answer is yes, a deploy has nothing to do. What cannot be looked at counts as no; the deploy then says why.
  - An image whose Alembic heads are not in O(cache) yet is asked for them once, in a container without network.
version_added: 0.2.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.edge]
options:
  root:
    description: Directory of the stack, which holds C(releases) and C(current).
    type: path
    required: true
  project_src:
    description: Directory of the declared Compose project.
    type: path
    required: true
  include:
    description: Directories whose files are part of a release, by the name they have in it.
    type: dict
    default: {}
  database:
    description: Name of the database that Alembic keeps, and of its owner. Empty where nothing is migrated.
    type: str
    default: ""
  service:
    description: Service whose image holds the migrations.
    type: str
    default: backend
  database_service:
    description: Service that runs PostgreSQL.
    type: str
    default: db
  strategies:
    description: As in M(shipshape.stack.compose_up).
    type: dict
    default: {}
  cache:
    description: File in which M(shipshape.stack.compose_migrate) keeps the Alembic heads of images.
    type: path
requirements:
  - Docker Engine 25 or newer
  - Docker Compose 2.26 or newer
  - Docker SDK for Python 5.0.3 or newer
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Look whether there is something to deploy
  shipshape.stack.deploy_status:
    root: /srv/shop
    project_src: /srv/shop/project
    include: {nginx: /srv/shop/edge}
    database: shop
    cache: /srv/shop/migrations.json
  register: status
"""

RETURN = r"""
settled:
  description: Whether a deploy has nothing to do.
  returned: success
  type: bool
reason:
  description: The first thing that a deploy has to do; empty when settled.
  returned: success
  type: str
  sample: "backend: image changed"
id:
  description: The current release.
  returned: when settled
  type: str
  sample: 20260131T235959Z-1a2b3c4d5e
containers:
  description: The containers that run, as M(shipshape.stack.compose_up) returns them.
  returned: when settled
  type: list
  elements: dict
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _build,
    _compose,
    _edge,
    _engine,
    _migration,
    _module,
    _postgres,
    _release,
    _resolve,
    _target,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


def look(params: dict[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Go through the steps of a deploy and stop at the first that has something to do."""
    client, project, root = _engine.connect(), _compose.Project(params["project_src"]), Path(params["root"])
    model = _compose.config(project)
    images, builds = _build.tags(client, model, ())
    absent = [tag for tag in builds if _engine.image_id(client, tag) is None]
    if absent:
        return unsettled(f"{', '.join(absent)} is not built yet")
    active = _release.current(root)
    if active is None or active.outcome != "deployed":
        return unsettled("no release is deployed")
    files = _resolve.release_files(project, model, images, params["include"])
    if active.content_hash != _release.content_hash(files):
        return unsettled("the current release is not the declared project")
    if params["database"]:
        if params["service"] not in model["services"]:
            return unsettled(f"the project has no service named {params['service']}")
        database = _postgres.Database(params["database_service"], params["database"], params["database"])
        cache = Path(params["cache"]) if params["cache"] and not check_mode else None
        if not _postgres.is_ready(client, model["name"], database):
            return unsettled("the database is not ready")
        image = images.get(params["service"]) or model["services"][params["service"]]["image"]
        heads = _migration.history(client, image, cache).heads
        if _migration.revisions(client, model["name"], database) != heads:
            return unsettled("the database is not at the head of the migrations")
    release = _compose.Project(str(root / "releases" / active.id))
    options = _target.Options(
        strategies=params["strategies"],
        edge=_edge.from_options(params["edge"]) if params["edge"] else None,
        reload=bool(params["edge"] and params["edge"]["reload"]),
    )
    target = _target.prepare(client, release, options)
    for change in target.changes:
        if change.action != "unchanged" or change.waits:
            return unsettled(f"{change.service}: {', '.join(change.reasons)}")
    containers = [_engine.summary(item) for item in target.present]
    return {"changed": False, "settled": True, "reason": "", "id": active.id, "containers": containers}


def unsettled(reason: str) -> dict[str, t.Any]:
    """Return the answer no."""
    return {"changed": False, "settled": False, "reason": reason}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "project_src": {"type": "path", "required": True},
            "include": {"type": "dict", "default": {}},
            "database": {"type": "str", "default": ""},
            "service": {"type": "str", "default": "backend"},
            "database_service": {"type": "str", "default": "db"},
            "strategies": {"type": "dict", "default": {}},
            "edge": {"type": "dict", "options": _edge.OPTIONS},
            "cache": {"type": "path"},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, t.Any]:
        missing = _module.not_there_yet(module, str(_module.ENGINE_SOCKET), module.params["project_src"])
        if missing:
            return unsettled(f"{missing} does not exist yet")
        try:
            return look(module.params, check_mode=module.check_mode)
        except StackError as error:
            # What cannot be looked at is not settled: the deploy comes to the same error, in its own place.
            return unsettled(error.cause)

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
