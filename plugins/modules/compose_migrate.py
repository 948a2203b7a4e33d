#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_migrate
short_description: Run the Alembic migrations of a release, once
description:
  - Reads the revision in the database and the head of the new image. When they are the same, nothing is started.
  - Otherwise runs the migration in a container of the new image, with the service's own configuration, and reads the
    revision again.
  - A database that does not run is first brought up through the health gate.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.project]
options:
  service:
    description: Service whose image holds the migrations.
    type: str
    default: backend
  command:
    description: Command that migrates.
    type: list
    elements: str
    default: [alembic, upgrade, head]
  database_service:
    description: Service that runs PostgreSQL.
    type: str
    default: db
  database:
    description: Name of the database.
    type: str
    required: true
  database_user:
    description: Owner of the database; without it the database's own name.
    type: str
  cache:
    description: File that remembers the heads of each image id, so that a deploy without change starts no container.
    type: path
  progress_file:
    description:
      - File to which progress is written, a line at a time. The action plugin of the same name sets it and shows the
        lines.
    type: path
  timeout:
    description: Seconds the migration may take.
    type: int
    default: 600
  wait_timeout:
    description: Seconds the database may take to become ready where it has to be started.
    type: int
    default: 300
attributes:
  check_mode:
    description: Can run in check mode and tells whether something is pending.
    support: full
  diff_mode:
    description: Shows the revision before and after.
    support: full
"""

EXAMPLES = r"""
- name: Migrate the database
  shipshape.stack.compose_migrate:
    project_src: /srv/shop/releases/20260131T235959Z-1a2b3c4d5e
    database: shop
"""

RETURN = r"""
before:
  description: Revision before; empty for a database that was never migrated.
  returned: success
  type: str
  sample: 8f2c4a91d7e3
after:
  description: Revision after. In check mode the one a real run leads to.
  returned: success
  type: str
  sample: b1d7e0a4c952
output:
  description: What the migration wrote.
  returned: when it ran
  type: str
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _engine,
    _migration,
    _module,
    _release,
    _revision,
    _rollout,
    _target,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._progress import Progress


def migrate(module: AnsibleModule) -> dict[str, t.Any]:
    """Decide, run, and read the revision again."""
    params = module.params
    client, project = _engine.connect(), _module.project(params)
    model = _compose.config(project)
    name = model["name"]
    if params["service"] not in model["services"]:
        raise StackError(f"The project has no service named {params['service']}.", fix="Correct `service`.")
    image = model["services"][params["service"]].get("image") or f"{name}-{params['service']}"
    cache = Path(params["cache"]) if params["cache"] and not module.check_mode else None
    database = _migration.Database(
        params["database_service"], params["database_user"] or params["database"], params["database"]
    )
    head = _migration.heads(client, image, cache)
    started = not _migration.database_is_ready(client, name, database)
    if started and module.check_mode:
        return {"changed": True, "before": "", "after": head[0] if head else ""}
    if started:
        options = _target.Options((database.service,), remove_orphans=False, wait_timeout=params["wait_timeout"])
        _rollout.bring_up(client, project, options, Progress(params["progress_file"]))
    before = _migration.database_revision(client, name, database)
    if _revision.decide(before, head) == "nothing":
        return {"changed": started, "before": before, "after": before}
    if not module.check_mode:
        with _release.project_lock(name):
            return upgrade(module, client, project, name, database, head[0])
    return {"changed": True, "before": before, "after": head[0], "diff": difference(before, head[0])}


def difference(before: str, after: str) -> dict[str, str]:
    """Return the diff of two revisions."""
    return {"before": f"{before or '(empty)'}\n", "after": f"{after}\n"}


def upgrade(
    module: AnsibleModule,
    client: t.Any,
    project: _compose.Project,
    name: str,
    database: _migration.Database,
    head: str,
) -> dict[str, t.Any]:
    """Migrate under the deploy lock, unless its holder before us did so already."""
    params = module.params
    before = _migration.database_revision(client, name, database)
    if before == head:
        return {"changed": False, "before": before, "after": before}
    say = Progress(params["progress_file"]).say
    try:
        output = _migration.upgrade(
            client, project, name, params["service"], params["command"], timeout=params["timeout"], say=say
        )
    except StackError as error:
        reached = _migration.database_revision(client, name, database)
        evidence = f"{error.evidence}\nThe database was at {before or '(empty)'} and is at {reached or '(empty)'} now."
        raise StackError(error.cause, evidence=evidence, fix=error.fix) from error
    after = _migration.database_revision(client, name, database)
    if after != head:
        raise StackError(
            "The migration ended without error, but the database is not at the head of the release.",
            evidence=f"It is at {after or '(empty)'}, the head is {head}.",
            fix="Check that `command` migrates the database that `database` names.",
        )
    diff = difference(before, after)
    return {"changed": True, "before": before, "after": after, "output": output, "diff": diff}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_module.PROJECT_OPTIONS,
            "service": {"type": "str", "default": "backend"},
            "command": {"type": "list", "elements": "str", "default": ["alembic", "upgrade", "head"]},
            "database_service": {"type": "str", "default": "db"},
            "database": {"type": "str", "required": True},
            "database_user": {"type": "str"},
            "cache": {"type": "path"},
            "progress_file": {"type": "path"},
            "timeout": {"type": "int", "default": 600},
            "wait_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, t.Any]:
        missing = _module.not_there_yet(module, str(_module.ENGINE_SOCKET), module.params["project_src"])
        if missing:
            return {"changed": True, "before": "", "after": "", "msg": f"{missing} does not exist yet."}
        return migrate(module)

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
