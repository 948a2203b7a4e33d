#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_backup
short_description: Dump a database of a Compose project, prove that the dump can be read, and thin out old ones
description:
  - Dumps one snapshot with the C(pg_dump) of the database's own image, through its socket, so no password is needed.
    The dump is read again by C(pg_restore) before it gets its name; what has no record was never finished.
  - The record holds size, SHA-256, the revision of the migrations and the rows of each table as the snapshot saw them.
  - With V(drill) the newest dump, or the one that is named, is restored in a container without a network and compared
    with its record.
version_added: 0.2.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.project]
options:
  state:
    description: V(dumped) takes a dump and thins out, V(drilled) proves one.
    type: str
    choices: [dumped, drilled]
    default: dumped
  dumps:
    description: Directory on the host for the dumps. Files get its owner, and nobody else can read them.
    type: path
    required: true
  dump:
    description: Name of the dump to prove; empty for the newest.
    type: str
    default: ""
  kind:
    description: What the dump is taken for; a part of its name. Only dumps of the same kind are thinned out.
    type: str
    choices: [manual, scheduled]
    default: manual
  database:
    description: Name of the database.
    type: str
    required: true
  database_user:
    description: Owner of the database; without it the database's own name.
    type: str
  database_service:
    description: Service that runs PostgreSQL.
    type: str
    default: db
  keep_last:
    description: How many of the newest to keep, whatever their day.
    type: int
    default: 3
  keep_daily:
    description: Of how many days to keep the newest.
    type: int
    default: 7
  keep_weekly:
    description: Of how many weeks to keep the newest.
    type: int
    default: 4
  keep_monthly:
    description: Of how many months to keep the newest.
    type: int
    default: 6
  timeout:
    description: Seconds that a dump, or a drill, may take.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Can run in check mode; nothing is dumped, and the drill is not run.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Take a dump
  shipshape.stack.postgres_backup:
    project_src: /srv/shop/current
    database: shop
    dumps: /srv/shop/backups

- name: Prove that the newest can be restored
  shipshape.stack.postgres_backup:
    project_src: /srv/shop/current
    database: shop
    dumps: /srv/shop/backups
    state: drilled
"""

RETURN = r"""
dump:
  description: The record of the dump - size in bytes, seconds, revision, rows by table.
  returned: success, not in check mode
  type: dict
  sample: {name: shop-20260131T235959Z-manual, bytes: 81203, seconds: 0.4, revision: 8f2c4a91d7e3}
removed:
  description: Names of the dumps that were thinned out.
  returned: when a dump was taken
  type: list
  elements: str
  sample: [shop-20260101T030000Z-manual]
proof:
  description: What the drill found - tables, rows, revision, and the seconds it took from an empty server to the proof.
  returned: when a dump was proved
  type: dict
  sample: {tables: 12, rows: 81203, revision: 8f2c4a91d7e3, seconds: 6.1}
"""

import typing as t
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _backup,
    _compose,
    _dumps,
    _engine,
    _module,
    _postgres,
    _restore,
)

OWN_OPTIONS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["dumped", "drilled"], "default": "dumped"},
    "dumps": {"type": "path", "required": True},
    "dump": {"type": "str", "default": ""},
    "kind": {"type": "str", "choices": ["manual", "scheduled"], "default": "manual"},
    "database": {"type": "str", "required": True},
    "database_user": {"type": "str"},
    "database_service": {"type": "str", "default": "db"},
    "keep_last": {"type": "int", "default": 3},
    "keep_daily": {"type": "int", "default": 7},
    "keep_weekly": {"type": "int", "default": 4},
    "keep_monthly": {"type": "int", "default": 6},
    "timeout": {"type": "int", "default": 3600},
}


def dump(module: AnsibleModule) -> dict[str, t.Any]:
    """Take a dump, then thin out those of its kind."""
    params = module.params
    directory = Path(params["dumps"])
    if module.check_mode:
        return {"changed": True}
    client, model = _engine.connect(), _compose.config(_module.project(params))
    database = _postgres.Database(
        params["database_service"], params["database_user"] or params["database"], params["database"]
    )
    container = _postgres.running(client, model["name"], database)
    with _postgres.Session(container.id, database.user, database.name, "shipshape backup") as session:
        taken = _backup.make(container, session, database, directory, kind=params["kind"], timeout=params["timeout"])
    keep = _dumps.Keep(*(params[f"keep_{period}"] for period in ("last", "daily", "weekly", "monthly")))
    same = [item for item in _dumps.listed(directory, database.name) if item.kind == params["kind"]]
    gone = _dumps.outdated(same, keep)
    for item in gone:
        _dumps.remove(directory, item)
    return {"changed": True, "dump": asdict(taken), "removed": [item.name for item in gone]}


def drill(module: AnsibleModule) -> dict[str, t.Any]:
    """Restore a dump where nobody can reach it, and compare."""
    params = module.params
    directory = Path(params["dumps"])
    chosen = _dumps.choose(directory, params["dump"], params["database"])
    _dumps.check(directory, chosen)
    if module.check_mode:
        return {"changed": False, "dump": asdict(chosen)}
    user = params["database_user"] or params["database"]
    proof = _restore.drill(_engine.connect(), chosen, directory, user, params["timeout"])
    return {"changed": False, "dump": asdict(chosen), "proof": asdict(proof)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**_module.PROJECT_OPTIONS, **OWN_OPTIONS}, supports_check_mode=True)
    work = drill if module.params["state"] == "drilled" else dump
    _module.conclude(module, lambda: work(module))


if __name__ == "__main__":
    main()
