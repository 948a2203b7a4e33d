# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be known to fail before anything is touched. Facts are gathered by the edges below; the rules are pure."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils._declaration import forgotten, is_placeholder

MINIMUM_ENGINE = "25.0.0"
MINIMUM_COMPOSE = "2.26.0"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True)
class Finding:
    """One thing that would make the deploy fail."""

    cause: str
    evidence: str
    fix: str


@dataclass(frozen=True)
class Holder:
    """Who listens on a TCP port."""

    port: int
    name: str
    project: str = ""


@dataclass(frozen=True)
class Limits:
    """What a service asks of the host: cores and bytes, 0 where it asks for nothing."""

    service: str
    cpus: float
    memory: int
    memory_reserved: int
    replicas: int = 1


@dataclass(frozen=True)
class Host:
    """What the host has. Sizes are bytes; a version is empty where the program is missing, None if not looked at."""

    architecture: str
    cpus: int
    memory: int
    disk_free: int
    engine: str | None = None
    compose: str | None = None
    listeners: tuple[Holder, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Everything the rules look at."""

    host: Host
    project: str
    ports: tuple[int, ...]
    disk_needed: int
    limits: tuple[Limits, ...]
    secret_files: t.Mapping[str, str | None] = field(default_factory=dict)
    environment: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)
    unset_variables: tuple[str, ...] = ()
    image_architectures: t.Mapping[str, str] = field(default_factory=dict)


def findings(facts: Facts) -> list[Finding]:
    """Return all findings; an empty list means nothing known stands in the way."""
    return [
        *version_findings(facts.host),
        *_ports(facts),
        *_resources(facts),
        *_secrets(facts),
        *_images(facts),
    ]


def report(found: t.Sequence[Finding]) -> str:
    """Return the findings as lines for a person."""
    return "\n".join(f"  - {item.cause}\n    evidence: {item.evidence}\n    fix: {item.fix}" for item in found)


def version_findings(host: Host) -> list[Finding]:
    """Return which of Engine and Compose is missing or too old, as far as they were looked at."""
    found = []
    for name, version, minimum in (
        ("Docker Engine", host.engine, MINIMUM_ENGINE),
        ("Docker Compose", host.compose, MINIMUM_COMPOSE),
    ):
        if version is not None and _version(version) < _version(minimum):
            fix = "Apply the role shipshape.stack.docker_engine, or upgrade it by hand."
            state = "too old" if version else "missing"
            found.append(Finding(f"{name} is {state}.", f"{version or 'none'}; {minimum} or newer is needed", fix))
    return found


def _ports(facts: Facts) -> list[Finding]:
    return [
        Finding(
            f"Port {holder.port} is already in use.",
            f"It is held by {holder.name}.",
            f"Stop {holder.name.split(' (')[0]}, or set stack_http_port / stack_https_port to free ports.",
        )
        for holder in facts.host.listeners
        if holder.port in facts.ports and holder.project != facts.project
    ]


def _resources(facts: Facts) -> list[Finding]:
    host, found = facts.host, []
    if host.disk_free < facts.disk_needed:
        found.append(
            Finding(
                "The disk is nearly full.",
                f"{_gib(host.disk_free)} free where Docker keeps its data; {_gib(facts.disk_needed)} wanted",
                "Free space: `docker system df`, then `docker image prune`; or grow the disk.",
            )
        )
    for limit in facts.limits:
        if limit.cpus > host.cpus:
            fix = f"Set cpus of {limit.service} to {host.cpus} or less."
            found.append(
                Finding(f"{limit.service} may use more cores than there are.", f"{limit.cpus:g} of {host.cpus}", fix)
            )
        if limit.memory > host.memory:
            fix = f"Lower the memory of {limit.service}."
            evidence = f"{_gib(limit.memory)} of {_gib(host.memory)}"
            found.append(Finding(f"{limit.service} may use more memory than there is.", evidence, fix))
    reserved = sum(limit.memory_reserved * limit.replicas for limit in facts.limits)
    if reserved > host.memory:
        fix = "Lower memory_reserved or replicas, or take a larger host."
        evidence = f"{_gib(reserved)} reserved of {_gib(host.memory)}"
        found.append(Finding("The services together reserve more memory than the host has.", evidence, fix))
    return found


def _secrets(facts: Facts) -> list[Finding]:
    found = []
    for path, content in facts.secret_files.items():
        if content is None:
            fix = "Apply the role shipshape.stack.compose_project, or create the file with mode 0400."
            found.append(Finding("A secret file is missing.", path, fix))
        elif not content.strip() or is_placeholder(content.strip()):
            what = "empty" if not content.strip() else "a placeholder or shorter than 8 characters"
            found.append(Finding("A secret file holds no secret.", f"{path} is {what}", "Put a real secret into it."))
    for variable in facts.unset_variables:
        fix = f"Set {variable} in the environment or an env file."
        found.append(Finding("The Compose file uses a variable that is not set.", variable, fix))
    for service, variables in facts.environment.items():
        for name, value in variables.items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY", name, re.IGNORECASE) and forgotten(value):
                fix = "Replace it; better, make it a secret file."
                found.append(Finding("A placeholder stands in for a secret.", f"{name} of service {service}", fix))
    return found


def _images(facts: Facts) -> list[Finding]:
    own = _ARCHITECTURES.get(facts.host.architecture, facts.host.architecture)
    return [
        Finding(
            "An image was built for another architecture.",
            f"{image} is {architecture}; this host is {own}",
            f"Build or pull it for linux/{own}.",
        )
        for image, architecture in facts.image_architectures.items()
        if architecture and architecture != own
    ]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _gib(amount: int) -> str:
    return f"{amount / 1024**3:.1f} GiB"


def listeners(ports: t.Iterable[int]) -> list[Holder]:
    """Return who listens on these TCP ports, from /proc. Without root the names of others' processes are unknown."""
    wanted, inodes = set(ports), {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rsplit(":", 1)[1], 16)
            if fields[3] == "0A" and port in wanted:
                inodes[f"socket:[{fields[9]}]"] = port
    names = dict.fromkeys(inodes.values(), "a process of another user")
    if inodes:
        names.update(_process_names(inodes))
    return [Holder(port, name) for port, name in sorted(names.items())]


def host_facts(data_root: str) -> Host:
    """Return what this host has; ``data_root`` is where Docker keeps its data, or would."""
    directory = Path(data_root)
    while not directory.exists():
        directory = directory.parent
    disk = os.statvfs(directory)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Host(
        architecture=os.uname().machine,
        cpus=os.cpu_count() or 1,
        memory=memory,
        disk_free=disk.f_bavail * disk.f_frsize,
    )


def _process_names(inodes: t.Mapping[str, int]) -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                port = inodes.get(str(descriptor.readlink()))
                if port is not None:
                    found[port] = f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            # The process ended meanwhile, or belongs to another user.
            continue
    return found
