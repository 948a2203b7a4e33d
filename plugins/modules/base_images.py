#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: base_images
short_description: Provide the images a stack is built on, from a registry or from the distribution's packages
description:
  - Returns one fixed reference for each wanted image. Only what is not on the host is pulled or built.
  - From a registry, an image is pulled once and from then on used by its digest.
  - From the distribution, a minimal Debian is bootstrapped with C(mmdebstrap) and the images are built on it, at the
    same time. Their tag is a hash of the recipe, so the same recipe is never built twice.
  - The built images take the same environment, volumes and commands as the official ones and run as non-root.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
options:
  images:
    description: The images to provide.
    type: list
    elements: str
    choices: [nginx, node, postgres, python, redis]
    required: true
  source:
    description:
      - V(registry) pulls, V(distro) builds from packages.
      - V(auto) stays with what the host has already. A host that has neither uses the registry if it answers, else
        the distribution. One stack never mixes both.
    type: str
    choices: [auto, registry, distro]
    default: auto
  registry_images:
    description:
      - Image references that replace the defaults C(docker.io/library/postgres:17), C(redis:8), C(nginx:1.29),
        C(python:3.13-slim) and C(node:22-slim).
    type: dict
    default: {}
  registry_timeout:
    description: Seconds to wait for the registry's first answer.
    type: int
    default: 5
  recipes:
    description: Image name to file name to content. C(base) is needed too.
    type: dict
    required: true
  suite:
    description: Debian suite of the built images.
    type: str
    default: trixie
  mirror:
    description: Package mirror of O(suite) and O(nginx_suite).
    type: str
    default: http://deb.debian.org/debian
  security_mirror:
    description: Mirror of the suite's security updates; empty to go without.
    type: str
    default: http://deb.debian.org/debian-security
  nginx_suite:
    description: Suite that nginx alone is taken from, since resolving upstreams need 1.27.4 or newer.
    type: str
    default: testing
  nginx_check_valid_until:
    description: Whether the metadata of O(nginx_suite) must be recent. V(false) accepts a frozen mirror.
    type: bool
    default: true
  npm_registry:
    description: Registry that npm itself is taken from.
    type: str
    default: https://registry.npmjs.org
  serial:
    description: Part of the tag of built images. Change it to build them again with the packages of today.
    type: str
    default: "1"
requirements:
  - Docker Engine 25 or newer with buildx
  - mmdebstrap, for images from the distribution
attributes:
  check_mode:
    description: Can run in check mode and tells what it would pull or build, also where no Engine is installed yet.
    support: full
  diff_mode:
    description: Shows the references that are new.
    support: full
"""

EXAMPLES = r"""
- name: Provide PostgreSQL and Redis from Debian's packages
  shipshape.stack.base_images:
    images: [postgres, redis]
    source: distro
    recipes:
      base:
        packages: "{{ lookup('ansible.builtin.file', 'base/packages') }}"
        # and the other files of roles/base_images/files
  register: base
"""

RETURN = r"""
images:
  description: What C(FROM) or C(image) takes, for each wanted image.
  returned: success
  type: dict
  sample: {postgres: "shipshape/postgres:trixie-0f3a9c1b22d4", redis: "shipshape/redis:trixie-51aa90cc7712"}
source:
  description: Where they come from. In check mode V(auto) if only the Engine that is not there yet could tell.
  returned: success
  type: str
  sample: distro
missing:
  description: What was not on the host, C(base) included, and had to be pulled or built (in check mode, would be).
  returned: success
  type: list
  elements: str
  sample: [base, postgres]
seconds:
  description: How long each of them took.
  returned: success
  type: dict
  sample: {base: 19.8, postgres: 15.1}
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _base_images as core
from ansible_collections.shipshape.stack.plugins.module_utils import _image_supply, _module

SUPPLIES = {
    "registry": (_image_supply.registry_supply, _image_supply.pull_missing),
    "distro": (_image_supply.distro_supply, _image_supply.build_missing),
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "required": True, "choices": sorted(core.REGISTRY_IMAGES)},
            "source": {"type": "str", "choices": ["auto", "registry", "distro"], "default": "auto"},
            "registry_images": {"type": "dict", "default": {}},
            "registry_timeout": {"type": "int", "default": 5},
            "recipes": {"type": "dict", "required": True},
            "suite": {"type": "str", "default": "trixie"},
            "mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
            "security_mirror": {"type": "str", "default": "http://deb.debian.org/debian-security"},
            "nginx_suite": {"type": "str", "default": "testing"},
            "nginx_check_valid_until": {"type": "bool", "default": True},
            "npm_registry": {"type": "str", "default": "https://registry.npmjs.org"},
            "serial": {"type": "str", "default": "1"},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, t.Any]:
        params = module.params
        order = _image_supply.Order(
            wanted=tuple(params["images"]),
            references=core.REGISTRY_IMAGES | params["registry_images"],
            registry_timeout=params["registry_timeout"],
            distribution=core.Distribution(
                **{option.name: params[option.name] for option in dataclasses.fields(core.Distribution)}
            ),
            recipes=params["recipes"],
        )
        source, present = params["source"], []
        if not _module.not_there_yet(module, str(_module.ENGINE_SOCKET)):
            present = _image_supply.images_on_host()
            source = _image_supply.choose_source(order, source, present)
        plan, carry_out = SUPPLIES.get(source, SUPPLIES["distro"])
        supply = plan(order, present)
        if supply.missing and not module.check_mode:
            supply = carry_out(order, supply)
        new = {name: supply.images[name] for name in supply.missing if name in supply.images}
        return {
            "changed": bool(supply.missing),
            "source": source,
            "diff": {"before": {}, "after": new},
            **dataclasses.asdict(supply),
        }

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
