# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conductor of base images: looks at the host, then pulls or builds what is missing. Decisions are in _base_images."""

from __future__ import annotations

import shutil
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _base_images as core
from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _registry
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


@dataclass(frozen=True)
class Order:
    """What is wanted. ``references`` are those of the registry, ``registry_timeout`` is in seconds."""

    wanted: tuple[str, ...]
    references: t.Mapping[str, str]
    registry_timeout: int
    distribution: core.Distribution
    recipes: core.Recipes


@dataclass(frozen=True)
class Supply:
    """What stands for each wanted image, what of it is missing on the host, and the seconds each missing one took."""

    images: dict[str, str]
    missing: list[str]
    seconds: dict[str, float] = field(default_factory=dict)


def images_on_host() -> list[core.LocalImage]:
    """Ask the Engine what it has."""
    done = _compose.run(["docker", "image", "ls", "--digests", "--format", "json"])
    if done.returncode != 0:
        raise StackError(
            "The Docker Engine does not answer.",
            evidence=done.tail(),
            fix="Start it and read its log, then repeat this; `docker image ls` shows the same message.",
        )
    return core.local_images(done.stdout)


def choose_source(order: Order, asked: str, present: t.Sequence[core.LocalImage]) -> str:
    """Return ``registry`` or ``distro``; ``asked`` may be ``auto``.

    Raises StackError when the registry refuses an image, or cannot be reached although it was asked for.
    """
    source = core.source_in_use(order.wanted, order.references, present) if asked == "auto" else asked
    if source == "distro":
        return source
    absent = [reference for reference in _references(order) if not core.pinned(reference, present)]
    objections = _in_parallel(
        {reference: partial(_registry.objection, reference, order.registry_timeout) for reference in absent}
    )
    for reference, objection in objections.items():
        if objection and asked == "auto" and core.is_unreachable(objection):
            return "distro"
        if objection:
            raise core.pull_error(reference, objection)
    return "registry"


def registry_supply(order: Order, present: t.Sequence[core.LocalImage]) -> Supply:
    """Return all images by digest; what was never pulled by the reference that would be pulled."""
    pins = {name: core.pinned(order.references[name], present) for name in order.wanted}
    images = {name: pin or order.references[name] for name, pin in pins.items()}
    return Supply(images, [name for name, pin in pins.items() if pin is None])


def pull_missing(order: Order, supply: Supply) -> Supply:
    """Pull what is missing and return the supply with every image by digest."""
    works = {name: partial(_pull, order.references[name]) for name in supply.missing}
    seconds = _in_parallel({name: partial(_timed, work) for name, work in works.items()})
    return Supply(registry_supply(order, images_on_host()).images, supply.missing, seconds)


def distro_supply(order: Order, present: t.Sequence[core.LocalImage]) -> Supply:
    """Return the content tag of each image. The base is missing only if something has to be built on it."""
    tags = core.distro_tags(order.distribution, order.recipes)
    missing = [name for name in order.wanted if not core.is_present(tags[name], present)]
    if missing and not core.is_present(tags[core.BASE], present):
        missing = [core.BASE, *missing]
    return Supply({name: tags[name] for name in order.wanted}, missing)


def build_missing(order: Order, supply: Supply) -> Supply:
    """Build what is missing: the base, then all others at the same time."""
    base = core.distro_tags(order.distribution, order.recipes)[core.BASE]
    now = str(time.time_ns())
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="base-images-", dir=core.SCRATCH) as scratch:
        workspace = Path(scratch)
        for name in supply.missing:
            _write_recipe(workspace / name, order.recipes[name])
        if core.BASE in supply.missing:
            seconds[core.BASE] = _timed(partial(_bootstrap, order, workspace, base))
        works = {
            name: partial(
                _build,
                name,
                workspace / name,
                core.build_arguments(name, order.distribution, base, now),
                supply.images[name],
            )
            for name in supply.missing
            if name != core.BASE
        }
        seconds |= _in_parallel({name: partial(_timed, work) for name, work in works.items()})
    return replace(supply, seconds=seconds)


def _references(order: Order) -> list[str]:
    return [order.references[name] for name in order.wanted]


def _pull(reference: str) -> None:
    done = _compose.run(["docker", "pull", "--quiet", reference])
    if done.returncode != 0:
        raise core.pull_error(reference, done.tail())


def _write_recipe(directory: Path, files: t.Mapping[str, str]) -> None:
    directory.mkdir()
    for name, content in files.items():
        path = directory / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755 if name.endswith(".sh") else 0o644)


def _bootstrap(order: Order, workspace: Path, tag: str) -> None:
    if not shutil.which("mmdebstrap"):
        raise StackError(
            "mmdebstrap is not installed on this host.",
            fix="Use the role shipshape.stack.base_images, or `apt-get install mmdebstrap debian-archive-keyring`.",
        )
    recipe, archive = str(workspace / core.BASE), str(workspace / "base.tar")
    argv = core.bootstrap_argv(order.distribution, order.recipes[core.BASE]["packages"], recipe, archive)
    _run(core.BASE, argv, core.apt_sources(order.distribution))
    _run(core.BASE, core.import_argv(archive, tag))


def _build(name: str, recipe: Path, arguments: dict[str, str], tag: str) -> None:
    argv = _compose.build_argv(
        context=str(recipe),
        dockerfile=str(recipe / "Dockerfile"),
        tag=tag,
        args=arguments,
        labels={core.RECIPE_LABEL: core.recipe_hash(tag)},
    )
    _run(name, argv)


def _run(name: str, argv: t.Sequence[str], stdin: str = "") -> None:
    done = _compose.run(argv, stdin=stdin)
    if done.returncode != 0:
        raise core.build_error(name, done.tail(40))


def _timed(work: t.Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return round(time.monotonic() - started, 1)


T = t.TypeVar("T")


def _in_parallel(works: t.Mapping[str, t.Callable[[], T]]) -> dict[str, T]:
    with ThreadPoolExecutor(max_workers=max(len(works), 1)) as pool:
        futures = {name: pool.submit(work) for name, work in works.items()}
    return {name: future.result() for name, future in futures.items()}
