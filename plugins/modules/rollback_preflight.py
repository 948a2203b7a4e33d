#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_preflight
short_description: Find the release to go back to, and what would make going back fail
description:
  - Chooses a release, and looks whether its images are still on the host and whether the database is at the revision
    that the release was deployed with. Fails where one is not so, and says what to do. Changes nothing.
  - The result can be brought up like a staged release.
version_added: 0.2.0
author: shipshape.stack contributors (@shipshape)
options:
  root:
    description: Directory of the stack, with C(releases) and C(current) in it.
    type: path
    required: true
  release:
    description:
      - Id of the release, or a beginning of it that only one has. The current one is accepted without a look.
      - Empty for the newest deployed release before the current one that is not the same in content.
    type: str
    default: ""
  database:
    description: Name of the database that Alembic keeps, and of its owner. Empty where nothing is migrated.
    type: str
    default: ""
  database_way:
    description:
      - What may be done where the database is at another revision than the release was deployed with.
      - Empty, it is refused, with what the other two would do. V(downgrade) takes the migrations between back.
      - V(restore) puts the newest dump at the revision of the release in place. Neither is done here; see RV(step).
    type: str
    choices: ["", downgrade, restore]
    default: ""
    version_added: 0.2.0
  dumps:
    description: Directory with dumps, for V(restore).
    type: path
    version_added: 0.2.0
  database_service:
    description: Service that runs PostgreSQL.
    type: str
    default: db
  service:
    description: Service whose image holds the migrations.
    type: str
    default: backend
requirements:
  - Docker Engine 25 or newer
  - Docker Compose 2.26 or newer
  - Docker SDK for Python 5.0.3 or newer
seealso:
  - module: shipshape.stack.release_info
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Find the release to go back to
  shipshape.stack.rollback_preflight:
    root: /srv/shop
    database: shop
  register: target

- name: Bring it up through the health gate
  shipshape.stack.compose_up:
    project_src: "{{ target.path }}"

- name: Record it
  shipshape.stack.release:
    root: /srv/shop
    state: deployed
    id: "{{ target.id }}"
"""

RETURN = r"""
id:
  description: Id of the release.
  returned: success
  type: str
  sample: 20260130T120000Z-9f8e7d6c5b
path:
  description: Directory of the release.
  returned: success
  type: str
  sample: /srv/shop/releases/20260130T120000Z-9f8e7d6c5b
previous:
  description: Directory of the current release. The same as RV(path) when that is the one asked for.
  returned: success
  type: str
  sample: /srv/shop/releases/20260131T235959Z-1a2b3c4d5e
step:
  description:
    - What has to be done to the database first; C(way) is empty where nothing has to.
    - V(downgrade) means M(shipshape.stack.compose_migrate) in RV(previous) down to C(revision), V(restore) means
      M(shipshape.stack.postgres_restore) of C(dump).
  returned: success
  type: dict
  sample: {way: restore, revision: b1d7e0a4c952, dump: shop-20260130T120000Z-migration}
revision:
  description: Revision of the database that the release was deployed with.
  returned: success
  type: str
  sample: b1d7e0a4c952
"""

import typing as t
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _base_images,
    _compose,
    _dumps,
    _engine,
    _migration,
    _module,
    _postgres,
    _release,
    _retention,
    _revision,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


def examine(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Choose the release and prove what can be proved of it."""
    root = Path(params["root"])
    entries, active = _release.entries(root), _release.active_id(root)
    target = _retention.choose(entries, active, params["release"])
    step = None
    if target.id != active:
        client = _engine.connect()
        missing = missing_images(client, root, target)
        if missing:
            raise _retention.images_are_gone(target, missing, instead(client, entries, active))
        if params["database"]:
            step = database_step(client, params, target)
    path, previous = root / "releases" / target.id, root / "releases" / active
    return {
        "changed": False,
        "id": target.id,
        "path": str(path),
        "previous": str(previous),
        "revision": target.revision,
        "step": asdict(step) if step else {"way": "", "revision": "", "dump": ""},
    }


def missing_images(client: t.Any, root: Path, release: _release.Release) -> dict[str, str]:
    """Return service -> image for those that are gone and that no registry has: what was built here."""
    model = _compose.config(_compose.Project(str(root / "releases" / release.id)))
    images = {name: str(service.get("image")) for name, service in model["services"].items()}
    built = {
        name: image
        for name, image in images.items()
        if name in release.images or image.startswith(f"{_base_images.NAMESPACE}/")
    }
    return {name: image for name, image in built.items() if _engine.image_id(client, image) is None}


def instead(client: t.Any, entries: t.Sequence[_release.Release | _release.Broken], active: str) -> list[str]:
    """Return the ids of the deployed releases that have their images."""
    whole = [entry for entry in entries if isinstance(entry, _release.Release)]
    deployed = [entry for entry in whole if entry.id != active and _retention.was_deployed(entry)]
    return [entry.id for entry in deployed if all(_engine.image_id(client, image) for image in entry.images.values())]


def database_step(client: t.Any, params: dict[str, t.Any], target: _release.Release) -> _retention.DatabaseStep | None:
    """Return what has to be done to the database; see ``_retention.database_step``."""
    model = _compose.config(_compose.Project(str(Path(params["root"]) / "current")))
    database = _postgres.Database(params["database_service"], params["database"], params["database"])
    current = revisions(client, params, str(model["name"]), database)
    undone: list[_revision.Revision] = []
    complaint = ""
    if target.revision and current != (target.revision,):
        image = str(model["services"][params["service"]].get("image") or f"{model['name']}-{params['service']}")
        try:
            undone = _revision.undone(_migration.history(client, image, None), current, target.revision)
        except StackError as error:
            complaint = error.cause.rstrip(".")
    dumps = _dumps.listed(Path(params["dumps"]), database.name) if params["dumps"] else []
    return _retention.database_step(
        target,
        ",".join(current),
        params["database_way"],
        undone=undone,
        complaint=complaint,
        dump=next((dump for dump in dumps if dump.revision == target.revision), None),
    )


def revisions(client: t.Any, params: dict[str, t.Any], name: str, database: _postgres.Database) -> tuple[str, ...]:
    """Return the revisions the database is at. Raises StackError where it is not ready."""
    if not _postgres.is_ready(client, name, database):
        raise StackError(
            "The database is not ready, so its revision cannot be compared with the one of the release.",
            evidence=f"No container of the service {database.service} of the project {name} is healthy.",
            fix=f"`cd {params['root']}/current && docker compose up --detach --wait {database.service}`, then again.",
        )
    return _migration.revisions(client, name, database)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "release": {"type": "str", "default": ""},
            "database": {"type": "str", "default": ""},
            "database_service": {"type": "str", "default": "db"},
            "database_way": {"type": "str", "choices": ["", "downgrade", "restore"], "default": ""},
            "dumps": {"type": "path"},
            "service": {"type": "str", "default": "backend"},
        },
        supports_check_mode=True,
    )
    _module.conclude(module, lambda: examine(module.params))


if __name__ == "__main__":
    main()
