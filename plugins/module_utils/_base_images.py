# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions about base images: which source, which reference, which command, what an error means. No I/O."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

REGISTRY_IMAGES: dict[str, str] = {
    "nginx": "docker.io/library/nginx:1.29",
    "node": "docker.io/library/node:22-slim",
    "postgres": "docker.io/library/postgres:17",
    "python": "docker.io/library/python:3.13-slim",
    "redis": "docker.io/library/redis:8",
}
BASE = "base"
NAMESPACE = "shipshape"
RECIPE_LABEL = "shipshape.stack.recipe"
TAG_LENGTH = 12
SCRATCH = "/var/cache"
"""Where images are bootstrapped: programs run there, which hardened hosts forbid in /tmp and /var/tmp (noexec)."""

Recipes = t.Mapping[str, t.Mapping[str, str]]

_UNREACHABLE = (
    "no such host",
    "server misbehaving",
    "connection refused",
    "connection reset",
    "network is unreachable",
    "no route to host",
    "i/o timeout",
    "timeout",
    "timed out",
    "deadline exceeded",
    "request canceled",
    "proxyconnect",
    "x509:",
    "tls:",
    ": eof",
)


@dataclass(frozen=True)
class Distribution:
    """Where packages come from. ``security_mirror`` may be empty; ``serial`` stands for a state of the packages."""

    suite: str
    mirror: str
    security_mirror: str
    nginx_suite: str
    nginx_check_valid_until: bool
    npm_registry: str
    serial: str


@dataclass(frozen=True)
class LocalImage:
    """A row of ``docker image ls --digests``; a missing tag or digest is an empty string."""

    repository: str
    tag: str
    digest: str


def local_images(listing: str) -> list[LocalImage]:
    """Parse ``docker image ls --digests --format json``: one JSON object per line."""
    rows = (json.loads(line) for line in listing.splitlines() if line.strip())
    return [LocalImage(*(_known(row[key]) for key in ("Repository", "Tag", "Digest"))) for row in rows]


def _known(value: str) -> str:
    return "" if value == "<none>" else value


def familiar(reference: str) -> LocalImage:
    """Split a reference the way the Engine lists it: Docker Hub's host and ``library/`` are left out."""
    name, _at, digest = reference.partition("@")
    head, colon, tail = name.rpartition(":")
    repository, tag = (head, tail) if colon and "/" not in tail else (name, "")
    for prefix in ("docker.io/", "index.docker.io/"):
        repository = repository.removeprefix(prefix)
    return LocalImage(repository.removeprefix("library/"), tag or ("" if digest else "latest"), digest)


def pinned(reference: str, present: t.Iterable[LocalImage]) -> str | None:
    """Return ``name@sha256:…`` of a reference that was pulled before, else None."""
    wanted = familiar(reference)
    for image in present:
        same = image.digest == wanted.digest if wanted.digest else image.tag == wanted.tag
        if image.repository == wanted.repository and image.digest and same:
            return f"{image.repository}@{image.digest}"
    return None


def distro_tags(distribution: Distribution, recipes: Recipes) -> dict[str, str]:
    """Return image -> ``shipshape/<image>:<suite>-<hash>`` for every recipe.

    The hash covers all that decides the content: the files of the recipe, the suites, the serial, the base. A mirror
    is only a way to the same packages and does not count.
    """
    base = _hash(recipes[BASE], distribution.suite, distribution.serial, "")
    tags = {}
    for name, files in recipes.items():
        extra = distribution.nginx_suite if name == "nginx" else ""
        digest = base if name == BASE else _hash(files, base, extra, "")
        tags[name] = f"{NAMESPACE}/{name}:{distribution.suite}-{digest[:TAG_LENGTH]}"
    return tags


def recipe_hash(tag: str) -> str:
    """Return the hash in a tag that ``distro_tags`` made."""
    return tag.rsplit("-", 1)[1]


def _hash(files: t.Mapping[str, str], *parts: str) -> str:
    return hashlib.sha256(json.dumps([sorted(files.items()), *parts]).encode()).hexdigest()


def is_present(reference: str, present: t.Iterable[LocalImage]) -> bool:
    """Return whether a tagged image is in the Engine's store."""
    wanted = familiar(reference)
    return any((image.repository, image.tag) == (wanted.repository, wanted.tag) for image in present)


def source_in_use(wanted: t.Sequence[str], references: t.Mapping[str, str], present: t.Sequence[LocalImage]) -> str:
    """Return the source a host has settled on: ``distro``, ``registry``, or an empty string on a host without either.

    An image of an older recipe counts too: a stack must not change from one family of images to the other because
    a recipe changed, the locales of its database may differ.
    """
    repositories = {image.repository for image in present}
    if any(f"{NAMESPACE}/{name}" in repositories for name in wanted):
        return "distro"
    if all(pinned(references[name], present) for name in wanted):
        return "registry"
    return ""


def apt_sources(distribution: Distribution) -> str:
    """Return the sources.list of the base image."""
    lines = [
        f"deb {distribution.mirror} {distribution.suite} main",
        f"deb {distribution.mirror} {distribution.suite}-updates main",
    ]
    if distribution.security_mirror:
        lines.append(f"deb {distribution.security_mirror} {distribution.suite}-security main")
    return "\n".join(lines) + "\n"


def bootstrap_argv(distribution: Distribution, packages: str, recipe: str, archive: str) -> list[str]:
    """Build ``mmdebstrap``: the suite's minimal system with apt as the tar ``archive``, sources from standard input.

    ``recipe`` is the directory with the base's files, ``packages`` one package name per line.
    """
    return [
        "env",
        f"TMPDIR={SCRATCH}",
        "mmdebstrap",
        "--variant=apt",
        f"--include={','.join(packages.split())}",
        f"--aptopt={recipe}/apt.conf",
        f"--extract-hook={recipe}/extract.sh",
        f"--customize-hook={recipe}/customize.sh",
        distribution.suite,
        archive,
        "-",
    ]


def import_argv(archive: str, tag: str) -> list[str]:
    """Build ``docker import`` of the bootstrapped base."""
    changes = ["ENV LANG=C.UTF-8", 'CMD ["bash"]', f"LABEL {RECIPE_LABEL}={recipe_hash(tag)}"]
    return ["docker", "import", *(word for change in changes for word in ("--change", change)), archive, tag]


def build_arguments(name: str, distribution: Distribution, base: str, packages_as_of: str) -> dict[str, str]:
    """Return the build arguments of a recipe.

    ``packages_as_of`` is the same for all builds of a run, so that they share one download of the package lists, and
    differs between runs, so that no run uses the lists of an earlier one.
    """
    arguments = {"BASE": base, "PACKAGES_AS_OF": packages_as_of}
    if name == "nginx":
        options = "" if distribution.nginx_check_valid_until else "[check-valid-until=no] "
        arguments["NGINX_SOURCE"] = f"deb {options}{distribution.mirror} {distribution.nginx_suite} main"
        arguments["NGINX_SUITE"] = distribution.nginx_suite
    if name == "node":
        arguments["NPM_REGISTRY"] = distribution.npm_registry.rstrip("/")
    return arguments


def is_unreachable(message: str) -> bool:
    """Return whether a registry's error means that it was not reached, as opposed to: it refused."""
    text = f"{message.lower()} "
    return any(pattern in text for pattern in _UNREACHABLE)


def pull_error(reference: str, message: str) -> StackError:
    """Explain why an image could not be pulled."""
    host = reference.split("/", 1)[0]
    registry = host if "/" in reference and ("." in host or ":" in host or host == "localhost") else "docker.io"
    if is_unreachable(message):
        return StackError(
            f"The registry {registry} cannot be reached for {reference}.",
            evidence=message,
            fix="Give the Engine a proxy or a mirror (role docker_engine), name a registry that is in reach in "
            "base_images_registry_images, or set base_images_source to distro to build from Debian's packages.",
        )
    return StackError(
        f"The registry {registry} refused {reference}.",
        evidence=message,
        fix="Check the name in base_images_registry_images; for a private registry or after a rate limit, "
        "`docker login` on the host as the user that Ansible becomes.",
    )


def build_error(name: str, log_tail: str) -> StackError:
    """Explain why an image could not be built from packages."""
    text = log_tail.lower()
    fix = "The lines above are the build's own words; nothing that runs was touched."
    if "is expired" in text or "is not valid anymore" in text:
        fix = (
            "The mirror's copy of the suite is older than it allows itself to be. Use a current mirror "
            "(base_images_mirror), or accept a frozen one with base_images_nginx_check_valid_until: false."
        )
    elif "could not resolve" in text or "failed to fetch" in text or "could not connect" in text:
        fix = "The package mirror cannot be reached from here: check base_images_mirror and the proxy settings."
    elif "no_pubkey" in text or "is not signed" in text:
        fix = "The host does not know the suite's signing key: upgrade its package debian-archive-keyring."
    return StackError(f"The base image {name} could not be built.", evidence=log_tail, fix=fix)
