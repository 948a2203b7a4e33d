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

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _context, _diagnosis, _engine, _module
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

TAG_LENGTH = 12
LABEL = "shipshape.stack.content"


def tags(client: t.Any, model: dict[str, t.Any], chosen: t.Sequence[str]) -> tuple[dict[str, str], dict[str, t.Any]]:
    """Return service -> tag and tag -> build; equal builds share the tag of the first service that has it."""
    images: dict[str, str] = {}
    builds: dict[str, _context.Build] = {}
    by_digest: dict[str, str] = {}
    for name, definition in model["services"].items():
        if "build" not in definition or (chosen and name not in chosen):
            continue
        build = _context.from_service(definition, model.get("secrets") or {})
        references = _context.base_references(_context.dockerfile_text(build), build.args)
        bases = {reference: _engine.image_id(client, reference) or "" for reference in references}
        digest = _context.content_hash(build, bases)
        tag = by_digest.setdefault(digest, f"{model['name']}/{name.lower()}:{digest[:TAG_LENGTH]}")
        images[name], builds[tag] = tag, build
    return images, builds


def build_one(tag: str, build: _context.Build) -> float:
    """Build one image and return the seconds it took."""
    started = time.monotonic()
    argv = _compose.build_argv(
        context=build.context,
        dockerfile=build.dockerfile,
        tag=tag,
        target=build.target,
        args=build.args,
        secrets=build.secrets,
        labels={LABEL: tag.rsplit(":", 1)[1]},
    )
    done = _compose.run(argv)
    if done.returncode != 0:
        known = _diagnosis.explain(done.stderr.splitlines()[::-1])
        raise StackError(
            f"The image {tag} could not be built. {known.cause if known else ''}".strip(),
            evidence=done.tail(25),
            fix=f"{known.fix if known else 'See the last lines above.'} The running stack was not touched.",
        )
    return round(time.monotonic() - started, 1)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **_module.PROJECT_OPTIONS,
            "jobs": {"type": "int", "default": 2},
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
        images, builds = tags(client, model, module.params["services"])
        absent = {tag: build for tag, build in builds.items() if _engine.image_id(client, tag) is None}
        durations = dict.fromkeys(absent, 0.0)
        if absent and not module.check_mode:
            with ThreadPoolExecutor(max_workers=module.params["jobs"]) as pool:
                durations = dict(zip(absent, pool.map(lambda tag: build_one(tag, absent[tag]), absent), strict=True))
        return {"changed": bool(absent), "images": images, "built": durations}

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
