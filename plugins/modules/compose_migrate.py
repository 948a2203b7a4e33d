#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_migrate
short_description: Run the migrations of a release, once, behind a lock and a verified dump
description:
  - Reads the revision in the database and the history of the new image. When nothing is pending, nothing is started.
  - Otherwise takes the deploy lock of the host and an advisory lock in the database, which one session holds for the
    whole run, dumps the database and has the dump read again, runs the migration in a container of the new image with
    the configuration, limits and user of its service, and reads the revision again.
  - Refuses an image with more than one head, and one that does not know the revision of the database.
  - A database that does not run is first brought up through the health gate.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.project]
options:
  service:
    description: Service whose image holds the migrations.
    type: str
    default: backend
  tool:
    description:
      - With V(alembic) the module knows what is pending and where that leads.
      - With V(other) it runs O(command) each time, behind the same lock and dump.
    type: str
    choices: [alembic, other]
    default: alembic
  command:
    description:
      - Command that migrates. With O(tool=alembic) it may be left out; it then is C(alembic upgrade) to the head, or
        C(alembic downgrade) to O(revision).
      - The SQL of a command of your own is not looked at for what is destructive.
    type: list
    elements: str
    default: []
  revision_command:
    description:
      - With O(tool=other), a command that prints the revision of the database; nothing is changed unless that is.
    type: list
    elements: str
    default: []
  revision:
    description: Where Alembic leads to. Empty with O(downgrade=true) for the state before the first migration.
    type: str
    default: head
    version_added: 0.2.0
  downgrade:
    description: Migrate down to O(revision), in the image that knows the way.
    type: bool
    default: false
    version_added: 0.2.0
  initial_data:
    description:
      - Command that puts initial data in, after the migration. It has to be one that can be repeated.
      - Run once for each image and database cluster; O(cache) remembers for which.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
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
    description: File that remembers what each image id knows, so that a deploy without change starts no container.
    type: path
  dump:
    description: Dump the database before something is changed in it.
    type: bool
    default: true
    version_added: 0.2.0
  dumps:
    description: Directory on the host for the dump. Needed unless O(dump=false).
    type: path
    version_added: 0.2.0
  root:
    description: Directory with C(releases), to say which release knows a revision that the image does not.
    type: path
    version_added: 0.2.0
  allow_destructive:
    description:
      - Statements that drop or rewrite, lock for long or rename what running code may use are warnings.
      - With V(false) they are a refusal, before anything is run.
    type: bool
    default: true
    version_added: 0.2.0
  timeout:
    description: Seconds the migration may take, and the dump before it.
    type: int
    default: 600
  lock_wait:
    description: Seconds to wait for another deploy or migration to end.
    type: int
    default: 300
    version_added: 0.2.0
  lock_timeout:
    description:
      - Seconds a statement of the migration may wait for a lock, so that it does not make all others wait behind it.
      - This and O(statement_timeout) reach drivers built on libpq, such as psycopg.
    type: float
    default: 10
    version_added: 0.2.0
  statement_timeout:
    description: Seconds a statement of the migration may take; 0 for no limit.
    type: float
    default: 0
    version_added: 0.2.0
  wait_timeout:
    description: Seconds the database may take to become ready where it has to be started.
    type: int
    default: 300
  progress_file:
    description:
      - File to which progress is written, a line at a time. The action plugin of the same name sets it and shows the
        lines.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and lists what is pending.
    support: full
  diff_mode:
    description: Shows the revision before and after, and in check mode the SQL between them.
    support: full
"""

EXAMPLES = r"""
- name: Migrate the database
  shipshape.stack.compose_migrate:
    project_src: /srv/shop/releases/20260131T235959Z-1a2b3c4d5e
    database: shop
    dumps: /srv/shop/backups

- name: Migrate with Django's own command
  shipshape.stack.compose_migrate:
    project_src: /srv/shop/current
    database: shop
    dumps: /srv/shop/backups
    tool: other
    command: [python, manage.py, migrate, --no-input]
    revision_command: [sh, -c, "python manage.py showmigrations --plan | grep -c '\\[X\\]'"]
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
heads:
  description: Heads of the image.
  returned: success, with O(tool=alembic)
  type: list
  elements: str
  sample: [b1d7e0a4c952]
pending:
  description: The revisions that were applied, or in check mode would be, in their order; taken back with O(downgrade).
  returned: success
  type: list
  elements: dict
  sample: [{revision: b1d7e0a4c952, message: add prices}]
dump:
  description: The verified dump that was taken before, with its size in bytes and the seconds it took.
  returned: when one was taken
  type: dict
  sample: {name: shop-20260131T235959Z-migration, bytes: 81203, seconds: 0.4, revision: 8f2c4a91d7e3}
seconds:
  description: Seconds it took, dump and waiting included.
  returned: success
  type: float
  sample: 1.4
output:
  description: What the migration wrote.
  returned: when it ran
  type: str
"""

import time
import typing as t
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _engine,
    _migration,
    _module,
    _postgres,
    _revision,
    _rollout,
    _target,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._progress import Progress

OWN_OPTIONS: dict[str, t.Any] = {
    "service": {"type": "str", "default": "backend"},
    "tool": {"type": "str", "choices": ["alembic", "other"], "default": "alembic"},
    "command": {"type": "list", "elements": "str", "default": []},
    "revision_command": {"type": "list", "elements": "str", "default": []},
    "revision": {"type": "str", "default": "head"},
    "downgrade": {"type": "bool", "default": False},
    "initial_data": {"type": "list", "elements": "str", "default": []},
    "database_service": {"type": "str", "default": "db"},
    "database": {"type": "str", "required": True},
    "database_user": {"type": "str"},
    "cache": {"type": "path"},
    "dump": {"type": "bool", "default": True},
    "dumps": {"type": "path"},
    "root": {"type": "path"},
    "allow_destructive": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 600},
    "lock_wait": {"type": "int", "default": 300},
    "lock_timeout": {"type": "float", "default": 10},
    "statement_timeout": {"type": "float", "default": 0},
    "wait_timeout": {"type": "int", "default": 300},
    "progress_file": {"type": "path"},
}


def options_from(params: dict[str, t.Any], *, check_mode: bool) -> _migration.Options:
    """Return the options of the migration. Raises StackError for what does not fit together."""
    if params["tool"] == "other" and not params["command"]:
        raise StackError("`tool: other` needs a `command`.", fix="Name the command that migrates.")
    if params["dump"] and not params["dumps"]:
        raise StackError("`dumps` is missing.", fix="Name a directory for the dump, or set `dump: false`.")
    if params["downgrade"] and params["revision"] == _revision.HEAD:
        raise StackError("`downgrade` needs a `revision`.", fix="Name the revision to go down to.")
    user = params["database_user"] or params["database"]
    return _migration.Options(
        service=params["service"],
        database=_postgres.Database(params["database_service"], user, params["database"]),
        command=tuple(params["command"]),
        revision=params["revision"],
        downgrade=params["downgrade"],
        other=params["tool"] == "other",
        revision_command=tuple(params["revision_command"]),
        initial_data=tuple(params["initial_data"]),
        cache=Path(params["cache"]) if params["cache"] and not check_mode else None,
        dumps=Path(params["dumps"]) if params["dump"] else None,
        root=Path(params["root"]) if params["root"] else None,
        allow_destructive=params["allow_destructive"],
        timeout=params["timeout"],
        lock_wait=params["lock_wait"],
        lock_timeout=params["lock_timeout"],
        statement_timeout=params["statement_timeout"],
    )


def migrate(module: AnsibleModule) -> dict[str, t.Any]:
    """Bring the database up where it has to be, then look and run."""
    params = module.params
    client, project = _engine.connect(), _module.project(params)
    options = options_from(params, check_mode=module.check_mode)
    model = _compose.config(project)
    if options.service not in model["services"]:
        raise StackError(f"The project has no service named {options.service}.", fix="Correct `service`.")
    image = model["services"][options.service].get("image") or f"{model['name']}-{options.service}"
    # Before anything is started: with two heads nothing will come of it.
    heads: list[str] = []
    if not options.other:
        known = _migration.history(client, image, options.cache)
        heads = [_revision.only_head(known)] if options.revision == _revision.HEAD else list(known.heads)
    progress = Progress(params["progress_file"])
    started = not _postgres.is_ready(client, model["name"], options.database)
    if started and module.check_mode:
        return {"changed": True, "before": "", "after": heads[0] if heads else "", "heads": heads, "pending": []}
    if started:
        target = _target.Options((options.database.service,), remove_orphans=False, wait_timeout=params["wait_timeout"])
        _rollout.bring_up(client, project, target, progress)
    begun = time.monotonic()
    migration = _migration.Migration(client, project, model, options, progress.say)
    outcome = migration.look(sql=module._diff) if module.check_mode else migration.run()
    for warning in outcome.warnings:
        module.warn(warning)
    return {**result(outcome, diff=module._diff), "changed": outcome.changed or started, "heads": heads, **took(begun)}


def took(begun: float) -> dict[str, float]:
    """Return the seconds since then."""
    return {"seconds": round(time.monotonic() - begun, 2)}


def result(outcome: _migration.Outcome, *, diff: bool) -> dict[str, t.Any]:
    """Return the outcome as plain data."""
    told: dict[str, t.Any] = {
        "before": outcome.before,
        "after": outcome.after,
        "pending": _revision.describe(outcome.pending),
    }
    if diff and outcome.changed:
        sql = f"\n{outcome.sql}\n" if outcome.sql else ""
        told["diff"] = {
            "before": f"{outcome.before or '(empty)'}\n",
            "after": f"{outcome.after or '(empty)'}\n{sql}",
        }
    if outcome.dump:
        told["dump"] = asdict(outcome.dump)
    if outcome.output:
        told["output"] = outcome.output
    return told


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**_module.PROJECT_OPTIONS, **OWN_OPTIONS}, supports_check_mode=True)

    def work() -> dict[str, t.Any]:
        missing = _module.not_there_yet(module, str(_module.ENGINE_SOCKET), module.params["project_src"])
        if missing:
            message = f"{missing} does not exist yet."
            return {"changed": True, "before": "", "after": "", "heads": [], "pending": [], "msg": message}
        return migrate(module)

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
