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
  - With a release, the images go that were built for it and that no other release names. An image that a container was
    made from stays, and so does every image that M(shipshape.stack.image_build) did not make. Images of the stack that
    are older than all its releases, left over from deploys that ended before there was a release, go as well.
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
    description:
      - Revision of the database after the migration.
      - Empty keeps what the record says; a release that has no revision yet takes that of the one deployed before it.
    type: str
    default: ""
  source:
    description: Revision of the source it was made from, for V(staged). Empty where nobody knows.
    type: str
    default: ""
    version_added: 0.2.0
  heads:
    description: Heads of its migrations. This and what follows is kept in the record; empty keeps what it says.
    type: str
    default: ""
    version_added: 0.2.0
  dump:
    description: Name of the dump that was taken before its migration.
    type: str
    default: ""
    version_added: 0.2.0
  seconds:
    description: Seconds that the steps of the deploy took, by step.
    type: dict
    default: {}
    version_added: 0.2.0
  verdicts:
    description: What the health gate said of each service.
    type: dict
    default: {}
    version_added: 0.2.0
  keep:
    description:
      - How many deployed releases to keep. The current one and the one that a rollback leads to always stay.
      - Of the releases that never were deployed only the newest is kept.
    type: int
    default: 5
  keep_days:
    description: Days after which a release is removed although O(keep) has room for it; 0 for no limit.
    type: int
    default: 0
    version_added: 0.2.0
requirements:
  - Docker Engine 25 or newer
  - Docker Compose 2.26 or newer
  - Docker SDK for Python 5.0.3 or newer
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
    keep: 10
    keep_days: 30
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
  sample: [20260101T120000Z-0a1b2c3d4e]
pruned_images:
  description: Tags of the images that were removed.
  returned: when V(deployed)
  type: list
  elements: str
  sample: ["shop/backend:c37b14294cdd"]
"""

import getpass
import os
import pwd
import typing as t
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import (
    _compose,
    _engine,
    _images,
    _module,
    _release,
    _resolve,
    _retention,
)
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


def stage(module: AnsibleModule, root: Path) -> dict[str, t.Any]:
    """Write the release directory unless `current` already has its content."""
    params = module.params
    project = _compose.Project(params["project_src"])
    model = _compose.config(project)
    files = _resolve.release_files(project, model, params["images"], params["include"])
    digest = _release.content_hash(files)
    active = _release.current(root)
    previous = str(root / "releases" / active.id) if active else ""
    if active and active.content_hash == digest:
        return {"changed": False, "id": active.id, "path": previous, "previous": previous}
    account = pwd.getpwnam(params["owner"])
    release = _release.Release(
        id=_release.release_id(root, digest),
        content_hash=digest,
        created=_release.utc_now(),
        created_by=os.environ.get("SUDO_USER") or getpass.getuser(),
        images=params["images"],
        outcome="staged",
        source=params["source"],
        digests={} if module.check_mode else digests(model, params["images"]),
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


def digests(model: t.Mapping[str, t.Any], built: t.Mapping[str, str]) -> dict[str, str]:
    """Return service -> id of its image, of those that are here."""
    client = _engine.connect()
    names = {name: built.get(name) or service["image"] for name, service in model["services"].items()}
    found = {name: _engine.image_id(client, image) for name, image in names.items()}
    return {name: image for name, image in found.items() if image}


def conclude(module: AnsibleModule, root: Path) -> dict[str, t.Any]:
    """Record the outcome; a deployed release becomes `current`."""
    params = module.params
    path = root / "releases" / params["id"]
    active = _release.current(root)
    previous = str(root / "releases" / active.id) if active else ""
    outcome = {"id": params["id"], "path": str(path), "previous": previous}
    if module.check_mode and not path.exists():
        # Staged in check mode: there is nothing to read yet.
        release = _release.Release(params["id"], "", _release.utc_now(), "", {}, "staged")
    else:
        release = _release.read(path)
    told = {name: params[name] or getattr(release, name) for name in ("heads", "dump", "seconds", "verdicts")}
    if params["state"] == "failed":
        release = replace(release, outcome="failed", revision=params["revision"] or release.revision, **told)
        return {"changed": module.check_mode or _release.record(root, release), **outcome}
    revision = params["revision"] or release.revision or (active.revision if active else "")
    release = replace(release, outcome="deployed", revision=revision)
    if release == active:
        return {"changed": False, **outcome, "pruned": [], "pruned_images": []}
    release = replace(release, deployed=_release.utc_now(), **told)
    if not module.check_mode:
        _release.record(root, release)
        _release.activate(root, release.id)
    return {"changed": True, **outcome, **prune(module, root, release)}


def prune(module: AnsibleModule, root: Path, active: _release.Release) -> dict[str, list[str]]:
    """Remove what is outdated now that ``active`` is the current release."""
    params = module.params
    entries = _release.entries(root)
    others = [entry for entry in entries if isinstance(entry, _release.Release) and entry.id != active.id]
    releases = [*others, active]
    known = {release.id for release in releases}
    gone = _retention.outdated(
        releases, active.id, keep=params["keep"], keep_days=params["keep_days"], now=datetime.now(UTC)
    )
    if not module.check_mode:
        for release in gone:
            _release.remove(root, release.id)
    kept = [release for release in releases if release not in gone]
    broken = [root / "releases" / entry.id / _resolve.COMPOSE_FILE for entry in entries if entry.id not in known]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in broken if path.is_file()]
    spared = {image for text in texts for image in _retention.named_in(text)}
    images: list[str] = []
    # The release is deployed: what cannot be cleaned up behind it is no reason to fail.
    try:
        client = _engine.connect()
        found = _images.built(client, _retention.repositories(releases))
        for tag in _retention.unused_images(found, kept=kept, gone=gone, spared=spared):
            if module.check_mode or _images.remove(client, tag):
                images.append(tag)
    except StackError as error:
        module.warn(str(error))
    return {"pruned": [release.id for release in gone], "pruned_images": images}


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
            "source": {"type": "str", "default": ""},
            "heads": {"type": "str", "default": ""},
            "dump": {"type": "str", "default": ""},
            "seconds": {"type": "dict", "default": {}},
            "verdicts": {"type": "dict", "default": {}},
            "keep": {"type": "int", "default": 5},
            "keep_days": {"type": "int", "default": 0},
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
