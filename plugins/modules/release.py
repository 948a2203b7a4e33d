#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Stage a release directory, and record what became of it
description:
  - V(staged) writes C(releases/<UTC stamp>-<hash>/) with the Compose file resolved - variables filled in, paths
    absolute, C(build) replaced by the built image - and a record. When C(current) already holds exactly this content,
    nothing is written and its path is returned.
  - V(deployed) points C(current) at the release and prunes old ones. V(failed) only records the failure.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
options:
  root:
    description: Directory of the stack, with C(releases) in it.
    type: path
    required: true
  state:
    description: What to do.
    type: str
    choices: [staged, deployed, failed]
    required: true
  project_src:
    description: Directory of the declared project, for V(staged).
    type: path
  images:
    description: Image of each service that has a C(build) section, for V(staged).
    type: dict
    default: {}
  include:
    description: Directories whose files are copied into the release, by name, for V(staged).
    type: dict
    default: {}
  owner:
    description: System account that owns the release, for V(staged).
    type: str
  id:
    description: The release, for V(deployed) and V(failed).
    type: str
  revision:
    description: Revision of the database after the migration.
    type: str
    default: ""
  keep:
    description: How many releases to keep.
    type: int
    default: 5
attributes:
  check_mode:
    description: Can run in check mode; nothing is written.
    support: full
  diff_mode:
    description: Shows the Compose file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Stage the release
  shipshape.stack.release:
    root: /srv/shop
    state: staged
    project_src: /srv/shop/project
    images: "{{ built.images }}"
    owner: shop
  register: staged

- name: Record the release
  shipshape.stack.release:
    root: /srv/shop
    state: deployed
    id: "{{ staged.id }}"
"""

RETURN = r"""
id:
  description: Id of the release.
  returned: success
  type: str
  sample: 20260131T235959Z-1a2b3c4d5e
path:
  description: Directory of the release.
  returned: success
  type: str
  sample: /srv/shop/releases/20260131T235959Z-1a2b3c4d5e
previous:
  description: Directory of the release that C(current) points at, empty before the first deploy.
  returned: success
  type: str
  sample: /srv/shop/releases/20260130T120000Z-9f8e7d6c5b
pruned:
  description: Ids of the releases that were removed.
  returned: when V(deployed)
  type: list
  elements: str
"""

import getpass
import os
import pwd
import typing as t
from dataclasses import replace
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _module, _release, _resolve
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


def stage(module: AnsibleModule, root: Path) -> dict[str, t.Any]:
    """Write the release directory unless `current` already has its content."""
    params = module.params
    project = _compose.Project(params["project_src"])
    files = _resolve.release_files(project, _compose.config(project), params["images"], params["include"])
    digest = _release.content_hash(files)
    active = _release.current(root)
    previous = str(root / "releases" / active.id) if active else ""
    if active and active.content_hash == digest:
        return {"changed": False, "id": active.id, "path": previous, "previous": previous}
    account = pwd.getpwnam(params["owner"])
    release = _release.Release(
        id=_release.release_id(digest),
        content_hash=digest,
        created=_release.utc_now(),
        created_by=os.environ.get("SUDO_USER") or getpass.getuser(),
        images=params["images"],
        outcome="staged",
    )
    path = root / "releases" / release.id
    if not module.check_mode:
        _release.stage(root, release, files, uid=account.pw_uid, gid=account.pw_gid)
    before = (Path(previous) / _resolve.COMPOSE_FILE).read_text(encoding="utf-8") if previous else ""
    diff = {
        "before": before,
        "after": files[_resolve.COMPOSE_FILE],
        "before_header": previous,
        "after_header": str(path),
    }
    return {"changed": True, "id": release.id, "path": str(path), "previous": previous, "diff": diff}


def conclude(module: AnsibleModule, root: Path) -> dict[str, t.Any]:
    """Record the outcome; a deployed release becomes `current`."""
    params = module.params
    path = root / "releases" / params["id"]
    active = _release.current(root)
    previous = str(root / "releases" / active.id) if active else ""
    outcome = {"id": params["id"], "path": str(path), "previous": previous}
    if params["state"] == "deployed" and active and active.id == params["id"] and active.outcome == "deployed":
        return {"changed": False, **outcome, "pruned": []}
    if module.check_mode:
        return {"changed": True, **outcome, "pruned": []}
    release = replace(_release.read(path), outcome=params["state"], revision=params["revision"])
    if params["state"] == "failed":
        return {"changed": _release.record(root, release), **outcome}
    _release.record(root, replace(release, deployed=_release.utc_now()))
    _release.activate(root, params["id"])
    return {"changed": True, **outcome, "pruned": _release.prune(root, params["keep"])}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["staged", "deployed", "failed"], "required": True},
            "project_src": {"type": "path"},
            "images": {"type": "dict", "default": {}},
            "include": {"type": "dict", "default": {}},
            "owner": {"type": "str"},
            "id": {"type": "str"},
            "revision": {"type": "str", "default": ""},
            "keep": {"type": "int", "default": 5},
        },
        required_if=[
            ("state", "staged", ("project_src", "owner")),
            ("state", "deployed", ("id",)),
            ("state", "failed", ("id",)),
        ],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, t.Any]:
        root = Path(params["root"])
        missing = _module.not_there_yet(module, str(_module.ENGINE_SOCKET), params["project_src"] or params["root"])
        if missing:
            where = str(root / "releases" / (params["id"] or "new"))
            message = f"{missing} does not exist yet."
            return {"changed": True, "id": params["id"] or "new", "path": where, "previous": "", "msg": message}
        if not (root / "releases").is_dir():
            raise StackError(
                f"{root}/releases does not exist.", fix="Apply the role shipshape.stack.app_host before this one."
            )
        return stage(module, root) if params["state"] == "staged" else conclude(module, root)

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
