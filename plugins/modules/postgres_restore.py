#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_restore
short_description: Put a dump in the place of the live database, which is kept
description:
  - Restores the dump into a new database beside the live one, which serves on, and compares revision, tables and rows
    with the record of the dump.
  - Then stops the services that use the database, gives the new one its name in one transaction, and keeps the live one
    under another. Everything before that can fail without anybody noticing.
  - The services are started again as they were. A dump that is older than the release needs its migrations run first,
    so a play leaves them stopped (O(start=false)), migrates, and brings the release up through the health gate.
  - A dump without a record is refused, and so is one of another database, and one that is not what its record says.
version_added: 0.2.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.project]
options:
  state:
    description: V(restored) puts a dump in place, V(clean) removes the databases that earlier restores have put aside.
    type: str
    choices: [restored, clean]
    default: restored
  dumps:
    description: Directory on the host with the dumps.
    type: path
    required: true
  dump:
    description: Name of the dump; empty for the newest.
    type: str
    default: ""
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
  services:
    description: Services that use the database; empty for those that depend on its service.
    type: list
    elements: str
    default: []
  start:
    description: Start the services again after the swap.
    type: bool
    default: true
  migrations_service:
    description:
      - Service whose image holds the Alembic migrations. A dump at a revision that it does not know is refused.
      - Empty where Alembic is not used, or another release is brought up after the restore.
    type: str
    default: ""
  timeout:
    description: Seconds that the restore may take.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Can run in check mode; the dump is chosen and its file compared with its record, nothing more.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Put last night's dump in place
  shipshape.stack.postgres_restore:
    project_src: /srv/shop/current
    database: shop
    dumps: /srv/shop/backups
"""

RETURN = r"""
dump:
  description: The record of the dump.
  returned: when one was restored
  type: dict
  sample: {name: shop-20260131T235959Z-manual, created: "2026-01-31T23:59:59Z", revision: 8f2c4a91d7e3}
replaced:
  description: What the database that was live is called now.
  returned: when a dump was restored, not in check mode
  type: str
  sample: shop_before_20260201T091500Z
proof:
  description: What the restored database holds - tables, rows, revision, and the seconds the restore took.
  returned: when a dump was restored, not in check mode
  type: dict
  sample: {tables: 12, rows: 81203, revision: 8f2c4a91d7e3, seconds: 2.2}
stopped:
  description: Seconds for which the services were stopped, if they were started again.
  returned: when a dump was restored, not in check mode
  type: float
  sample: 1.4
removed:
  description: Names of the databases that were removed.
  returned: with O(state=clean)
  type: list
  elements: str
  sample: [shop_before_20260201T091500Z]
"""

import contextlib
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _dumps,
    _engine,
    _migration,
    _module,
    _postgres,
    _release,
    _restore,
    _revision,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

OWN_OPTIONS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["restored", "clean"], "default": "restored"},
    "dumps": {"type": "path", "required": True},
    "dump": {"type": "str", "default": ""},
    "database": {"type": "str", "required": True},
    "database_user": {"type": "str"},
    "database_service": {"type": "str", "default": "db"},
    "services": {"type": "list", "elements": "str", "default": []},
    "start": {"type": "bool", "default": True},
    "migrations_service": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 3600},
}


def restore(module: AnsibleModule) -> dict[str, t.Any]:
    """Restore beside, stop what uses the database, swap, start it again."""
    params = module.params
    directory = Path(params["dumps"])
    chosen = _dumps.choose(directory, params["dump"], params["database"])
    _dumps.check(directory, chosen)
    if module.check_mode:
        return {"changed": True, "dump": asdict(chosen)}
    client, model = _engine.connect(), _compose.config(_module.project(params))
    database, name = database_of(params), str(model["name"])
    services = params["services"] or users(model, database)
    if params["migrations_service"]:
        check_known(client, model, params["migrations_service"], chosen)
    with _release.project_lock(name):
        container = _postgres.running(client, name, database)
        proof = _restore.beside(client, container, database, chosen, directory, params["timeout"])
        begun = time.monotonic()
        stopped = [item for item in _engine.containers(client, name) if item.service in services]
        stopped = [item for item in stopped if item.status in ("running", "restarting", "paused")]
        try:
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(lambda item: _engine.stop(client, item), stopped))
            replaced = _restore.swap(container, database, _dumps.now().strftime("%Y%m%dT%H%M%SZ"))
        except BaseException:
            # The live database is still the one they know.
            with contextlib.suppress(StackError):
                start(client, stopped)
            raise
        if params["start"]:
            start(client, stopped)
    seconds = round(time.monotonic() - begun, 2)
    told = {"dump": asdict(chosen), "replaced": replaced, "proof": asdict(proof), "stopped": seconds}
    return {"changed": True, **told}


def check_known(client: t.Any, model: dict[str, t.Any], service: str, dump: _dumps.Dump) -> None:
    """Raise StackError where the release could not bring the dump to the revision it needs."""
    image = str(model["services"][service].get("image") or f"{model['name']}-{service}")
    known = _migration.history(client, image, None)
    strange = _revision.unknown(known, [item for item in dump.revision.split(",") if item])
    if strange:
        raise StackError(
            f"The current release does not know the revision of the dump {dump.name}.",
            evidence=f"The dump is at {dump.revision}; the image {image} leads to {', '.join(known.heads)}.",
            fix="Deploy or roll back to a release that knows it, or choose another dump. Nothing was touched.",
        )


def start(client: t.Any, containers: t.Iterable[_engine.Container]) -> None:
    """Start containers again. Raises StackError with what the Engine said of those it could not start."""
    refused = []
    for item in containers:
        fresh = _engine.inspect(client, item.id)
        words = _engine.start(client, fresh) if fresh and fresh.status != "running" else ""
        refused += [f"{item.name}: {words}"] if words else []
    if refused:
        raise StackError("Services could not be started again.", evidence="\n".join(refused), fix="Deploy again.")


def clean(module: AnsibleModule) -> dict[str, t.Any]:
    """Remove what earlier restores have put aside."""
    params = module.params
    client, model = _engine.connect(), _compose.config(_module.project(params))
    database = database_of(params)
    container = _postgres.running(client, str(model["name"]), database)
    names = _restore.replaced(container, database)
    if names and not module.check_mode:
        _restore.drop(container, database, names)
    return {"changed": bool(names), "removed": names}


def database_of(params: dict[str, t.Any]) -> _postgres.Database:
    """Return the database that the options name."""
    user = params["database_user"] or params["database"]
    return _postgres.Database(params["database_service"], user, params["database"])


def users(model: dict[str, t.Any], database: _postgres.Database) -> list[str]:
    """Return the services that depend on the one of the database."""
    services = model["services"]
    return [name for name, service in services.items() if database.service in (service.get("depends_on") or {})]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**_module.PROJECT_OPTIONS, **OWN_OPTIONS}, supports_check_mode=True)
    work = clean if module.params["state"] == "clean" else restore
    _module.conclude(module, lambda: work(module))


if __name__ == "__main__":
    main()
