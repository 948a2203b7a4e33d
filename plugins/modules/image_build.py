#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build the images of a Compose project, tagged by the content they are made of
description:
  - For each service with a C(build) section the tag is a hash of the build context after C(.dockerignore), the
    Dockerfile, target, arguments and the ids of the base images. An image with that tag is not built again.
  - Different images build in parallel; services with the same build share one image.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
extends_documentation_fragment: [shipshape.stack.project]
options:
  jobs:
    description: How many images to build at the same time.
    type: int
    default: 2
  progress_file:
    description:
      - File to which progress is written, a line at a time. The action plugin of the same name sets it and shows the
        lines.
    type: path
  services:
    description: Services to build; empty for all that have a C(build) section.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode and tells which images it would build.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Build what changed
  shipshape.stack.image_build:
    project_src: /srv/shop/project
  register: built
"""

RETURN = r"""
images:
  description: The image of each service with a C(build) section.
  returned: success
  type: dict
  sample: {backend: "shop/backend:0f3a9c1b22d4", worker: "shop/backend:0f3a9c1b22d4"}
built:
  description: Tags that were built in this run, with the seconds it took.
  returned: success
  type: dict
  sample: {"shop/backend:0f3a9c1b22d4": 8.4}
"""

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _build, _compose, _engine, _module
from ansible_collections.shipshape.stack.plugins.module_utils._progress import Progress


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_module.PROJECT_OPTIONS,
            "jobs": {"type": "int", "default": 2},
            "progress_file": {"type": "path"},
            "services": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, t.Any]:
        missing = _module.not_there_yet(module, str(_module.ENGINE_SOCKET), module.params["project_src"])
        if missing:
            return {"changed": True, "images": {}, "built": {}, "msg": f"{missing} does not exist yet."}
        client = _engine.connect()
        model = _compose.config(_module.project(module.params))
        images, builds = _build.tags(client, model, module.params["services"])
        absent = {tag: build for tag, build in builds.items() if _engine.image_id(client, tag) is None}
        durations = dict.fromkeys(absent, 0.0)
        if absent and not module.check_mode:
            progress = Progress(module.params["progress_file"])
            with ThreadPoolExecutor(max_workers=module.params["jobs"]) as pool:
                took = pool.map(lambda tag: _build.build_one(tag, absent[tag], progress.say), absent)
                durations = dict(zip(absent, took, strict=True))
        return {"changed": bool(absent), "images": images, "built": durations}

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
