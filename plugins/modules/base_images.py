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
    description: Suite that nginx alone is taken from, since resolving upstreams need 1.27.3 or newer.
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
import shutil
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _base_images as core
from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _engine, _module
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


def images_on_host() -> list[core.LocalImage]:
    """Ask the Engine what it has."""
    done = _compose.run(["docker", "image", "ls", "--digests", "--format", "json"])
    if done.returncode != 0:
        raise StackError("The Docker Engine does not answer.", evidence=done.tail(), fix="Start it, then repeat this.")
    return core.local_images(done.stdout)


def registry_objection(reference: str, timeout: int) -> str:
    """Return why the registry does not serve ``reference``; empty if it does. The Engine asks, with its proxies."""
    client = _engine.connect()
    client.api.timeout = timeout
    try:
        client.api.inspect_distribution(reference)
    except _engine.requests.exceptions.Timeout:
        return f"timeout: no answer within {timeout} s"
    except _engine.docker.errors.APIError as error:
        return str(error.explanation or error)
    return ""


def pull(reference: str) -> None:
    """Pull one image."""
    done = _compose.run(["docker", "pull", "--quiet", reference])
    if done.returncode != 0:
        raise core.pull_error(reference, done.tail())


def write_recipe(directory: Path, files: t.Mapping[str, str]) -> None:
    """Write the files of one recipe, scripts executable."""
    directory.mkdir()
    for name, content in files.items():
        path = directory / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755 if name.endswith(".sh") else 0o644)


def bootstrap(distribution: core.Distribution, files: t.Mapping[str, str], workspace: Path, tag: str) -> None:
    """Make the base image."""
    if not shutil.which("mmdebstrap"):
        raise StackError(
            "mmdebstrap is not installed on this host.",
            fix="Use the role shipshape.stack.base_images, or `apt-get install mmdebstrap debian-archive-keyring`.",
        )
    recipe, archive = workspace / core.BASE, workspace / "base.tar"
    write_recipe(recipe, files)
    argv = core.bootstrap_argv(distribution, files["packages"], str(recipe), str(archive))
    for command, stdin in ((argv, core.apt_sources(distribution)), (core.import_argv(str(archive), tag), "")):
        done = _compose.run(command, stdin=stdin)
        if done.returncode != 0:
            raise core.build_error(core.BASE, done.tail(40))


def build(name: str, files: t.Mapping[str, str], arguments: dict[str, str], workspace: Path, tag: str) -> None:
    """Build one image on the base."""
    recipe = workspace / name
    write_recipe(recipe, files)
    labels = {core.RECIPE_LABEL: tag.rsplit("-", 1)[1]}
    done = _compose.run(
        _compose.build_argv(
            context=str(recipe), dockerfile=str(recipe / "Dockerfile"), tag=tag, args=arguments, labels=labels
        )
    )
    if done.returncode != 0:
        raise core.build_error(name, done.tail(40))


def timed(work: t.Callable[[], None]) -> float:
    """Run ``work`` and return the seconds it took."""
    started = time.monotonic()
    work()
    return round(time.monotonic() - started, 1)


def all_at_once(works: t.Mapping[str, t.Callable[[], None]]) -> dict[str, float]:
    """Run independent works at the same time and return the seconds of each."""
    if not works:
        return {}
    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        return dict(zip(works, pool.map(timed, works.values()), strict=True))


class Provider:
    """One run: what is wanted, and how the host gets it."""

    def __init__(self, module: AnsibleModule) -> None:
        params = module.params
        self.check_mode: bool = module.check_mode
        self.wanted: list[str] = params["images"]
        self.timeout: int = params["registry_timeout"]
        self.references: dict[str, str] = core.REGISTRY_IMAGES | params["registry_images"]
        self.recipes: core.Recipes = params["recipes"]
        fields = (field.name for field in dataclasses.fields(core.Distribution))
        self.distribution = core.Distribution(**{name: params[name] for name in fields})
        self.tags = core.distro_tags(self.distribution, self.recipes)

    def choose(self, asked: str, present: t.Sequence[core.LocalImage]) -> str:
        """Return ``registry`` or ``distro``. Raises StackError when the registry refuses or, if asked for, is away."""
        source = core.source_in_use(self.wanted, self.references, present) if asked == "auto" else asked
        if source == "distro":
            return source
        absent = [self.references[name] for name in self.wanted if not core.pinned(self.references[name], present)]
        with ThreadPoolExecutor() as pool:
            objections = pool.map(lambda reference: registry_objection(reference, self.timeout), absent)
        for reference, objection in zip(absent, objections, strict=True):
            if objection and asked == "auto" and core.is_unreachable(objection):
                return "distro"
            if objection:
                raise core.pull_error(reference, objection)
        return "registry"

    def from_registry(self, present: t.Sequence[core.LocalImage]) -> dict[str, t.Any]:
        """Pull what is absent and return all by digest; in check mode what is absent stays unpinned."""
        pins = {name: core.pinned(self.references[name], present) for name in self.wanted}
        absent = [name for name, pin in pins.items() if pin is None]
        seconds = {}
        if absent and not self.check_mode:
            seconds = all_at_once({name: lambda name=name: pull(self.references[name]) for name in absent})
            present = images_on_host()
            pins = {name: core.pinned(self.references[name], present) for name in self.wanted}
        images = {name: pin or self.references[name] for name, pin in pins.items()}
        return {"images": images, "missing": absent, "seconds": seconds}

    def from_distro(self, present: t.Sequence[core.LocalImage]) -> dict[str, t.Any]:
        """Build what is absent, after the base if that is absent too."""
        absent = [name for name in self.wanted if not core.is_present(self.tags[name], present)]
        base_absent = bool(absent) and not core.is_present(self.tags[core.BASE], present)
        seconds = {}
        if absent and not self.check_mode:
            with tempfile.TemporaryDirectory(prefix="base-images-") as scratch:
                seconds = self.build(Path(scratch), absent, base_absent)
        missing = [core.BASE, *absent] if base_absent else absent
        return {"images": {name: self.tags[name] for name in self.wanted}, "missing": missing, "seconds": seconds}

    def build(self, workspace: Path, absent: t.Sequence[str], base_absent: bool) -> dict[str, float]:
        """Build the absent images and return the seconds of each."""
        seconds = {}
        tag = self.tags[core.BASE]
        if base_absent:
            seconds[core.BASE] = timed(
                lambda: bootstrap(self.distribution, self.recipes[core.BASE], workspace, tag)
            )
        now = str(time.time_ns())
        works: dict[str, t.Callable[[], None]] = {}
        for name in absent:
            arguments = core.build_arguments(name, self.distribution, tag, now)
            works[name] = lambda name=name, arguments=arguments: build(
                name, self.recipes[name], arguments, workspace, self.tags[name]
            )
        return seconds | all_at_once(works)


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
        provider, source = Provider(module), module.params["source"]
        present: list[core.LocalImage] = []
        if not _module.not_there_yet(module, str(_module.ENGINE_SOCKET)):
            present = images_on_host()
            source = provider.choose(source, present)
        found = provider.from_registry(present) if source == "registry" else provider.from_distro(present)
        new = {name: found["images"][name] for name in found["missing"] if name in found["images"]}
        return {"changed": bool(found["missing"]), "source": source, "diff": {"before": {}, "after": new}, **found}

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
