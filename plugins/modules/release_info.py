#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: List the releases of a stack with their records
description:
  - Reads the record of every release on the host, the newest first. Changes nothing.
  - A record that cannot be read does not hide the others; it is listed as V(broken), with the reason.
version_added: 0.2.0
author: shipshape.stack contributors (@shipshape)
options:
  root:
    description: Directory of the stack, with C(releases) in it.
    type: path
    required: true
seealso:
  - module: shipshape.stack.release
  - module: shipshape.stack.rollback_preflight
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: List the releases
  shipshape.stack.release_info:
    root: /srv/shop
  register: found

- name: Show those that were deployed
  ansible.builtin.debug:
    msg: "{{ found.releases | selectattr('outcome', 'eq', 'deployed') | map(attribute='id') }}"
"""

RETURN = r"""
current:
  description: Id of the release that C(current) points at, empty before the first deploy.
  returned: success
  type: str
  sample: 20260131T235959Z-1a2b3c4d5e
releases:
  description: The releases, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Name of its directory - when it was made, and the beginning of the hash of its content.
      type: str
    current:
      description: Whether C(current) points at it.
      type: bool
    outcome:
      description:
        - V(staged) - written, and nothing more is known.
        - V(deployed) - it became ready. V(failed) - it did not, the last time.
        - V(broken) - its record cannot be read; then RV(releases[].reason) is the only other value.
      type: str
    reason:
      description: What is the matter with a V(broken) one.
      type: str
      returned: when broken
    created:
      description: When it was made, UTC.
      type: str
    created_by:
      description: Account that made it.
      type: str
    deployed:
      description: When it was last deployed, UTC; empty for one that never was.
      type: str
    images:
      description: Image of each service that was built for it.
      type: dict
    revision:
      description: Revision of the database it was deployed with, empty where nothing is migrated.
      type: str
    heads:
      description: Where its migrations lead.
      type: str
    dump:
      description: The dump that was taken before its migration; empty where nothing was migrated.
      type: str
    source:
      description: Revision of its source; C(-dirty) where not all was committed, empty where there is no Git.
      type: str
    digests:
      description: Id of the image of each service.
      type: dict
    seconds:
      description: Seconds that migration and rollout took.
      type: dict
    verdicts:
      description: What the health gate said of each service.
      type: dict
    content_hash:
      description: SHA-256 of its files. Two releases with the same hash are the same.
      type: str
  sample:
    - id: 20260131T235959Z-1a2b3c4d5e
      current: true
      outcome: deployed
      created: "2026-01-31T23:59:59Z"
      created_by: admin
      deployed: "2026-02-01T00:00:21Z"
      images: {backend: "shop/backend:c37b14294cdd"}
      revision: b1d7e0a4c952
      heads: b1d7e0a4c952
      dump: shop-20260131T235959Z-migration
      source: 3f1c2d9e8b7a6f5e4d3c2b1a09f8e7d6c5b4a392
      digests: {backend: "sha256:9d2c…", db: "sha256:77b1…"}
      seconds: {migrate: 1.4, rollout: 9.2}
      verdicts: {backend: healthy, db: healthy}
      content_hash: 1a2b3c4d5e6f…
"""

import typing as t
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _module, _release


def listing(root: Path) -> dict[str, t.Any]:
    """Return all releases as plain data."""
    active = _release.active_id(root)
    releases: list[dict[str, t.Any]] = []
    for entry in _release.entries(root):
        outcome = {"outcome": "broken"} if isinstance(entry, _release.Broken) else {}
        releases.append({**asdict(entry), **outcome, "current": entry.id == active})
    return {"changed": False, "current": active, "releases": releases}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"root": {"type": "path", "required": True}}, supports_check_mode=True)
    _module.conclude(module, lambda: listing(Path(module.params["root"])))


if __name__ == "__main__":
    main()
