#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_preflight
short_description: Find everything that can be known to fail before a deploy touches anything
description:
  - Looks at versions, ports, disk, memory, cores, variables, secrets and image architectures, and reports all findings
    at once. Changes nothing.
  - Works before Docker is installed; what needs Docker is then left for the next look.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
options:
  project_name:
    description: Name of the Compose project. Ports that its own containers hold are no finding.
    type: str
    required: true
  project_src:
    description: Directory of the Compose project. Without it only the host is looked at.
    type: path
  ports:
    description: TCP ports that must be free.
    type: list
    elements: int
    default: []
  services:
    description: For each service C(cpus), C(memory), C(memory_reserved) and C(replicas), compared with the host.
    type: dict
    default: {}
  disk_free:
    description: Space wanted where Docker keeps its data.
    type: str
    default: 2G
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Look for what would make a deploy fail
  shipshape.stack.compose_preflight:
    project_name: shop
    project_src: /srv/shop/project
    ports: [80, 443]
"""

RETURN = r"""
findings:
  description: What stands in the way; empty when the module succeeds.
  returned: always
  type: list
  elements: dict
  sample:
    - cause: Port 80 is already in use.
      evidence: It is held by apache2 (pid 812).
      fix: Stop apache2, or set stack_http_port / stack_https_port to free ports.
host:
  description: Cores, memory and free disk (bytes), versions.
  returned: always
  type: dict
"""

import re
import typing as t
from dataclasses import asdict, replace
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _engine, _module, _preflight
from ansible_collections.shipshape.stack.plugins.module_utils._declaration import size
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

DATA_ROOT = "/var/lib/docker"


def look_at_host(project_name: str, ports: list[int]) -> tuple[_preflight.Host, t.Any]:
    """Return the host's facts, and the Engine's client where an Engine runs."""
    listening = _preflight.listeners(ports)
    if not _module.ENGINE_SOCKET.exists() or _engine.SDK_ERROR is not None:
        return replace(_preflight.host_facts(DATA_ROOT), listeners=tuple(listening)), None
    try:
        client = _engine.connect()
    except StackError:
        # The Engine does not run. The role docker_engine is about to start it.
        return replace(_preflight.host_facts(DATA_ROOT), listeners=tuple(listening)), None
    info = client.info()
    published = {
        port["PublicPort"]: (container["Names"][0].lstrip("/"), container["Labels"].get(_engine.PROJECT_LABEL, ""))
        for container in client.api.containers()
        for port in container["Ports"]
        if port["Type"] == "tcp" and port.get("PublicPort") in ports
    }
    holders = [holder for holder in listening if holder.port not in published]
    holders += [_preflight.Holder(port, f"the container {name}", own) for port, (name, own) in published.items()]
    host = replace(
        _preflight.host_facts(info["DockerRootDir"]),
        cpus=info["NCPU"],
        memory=info["MemTotal"],
        listeners=tuple(holders),
    )
    return host, client


def look_at_project(directory: str, client: t.Any) -> dict[str, t.Any]:
    """Return the facts that need the project's files."""
    model, warnings = _compose.config_and_warnings(_compose.Project(directory))
    services = model["services"]
    secrets = [item["file"] for item in (model.get("secrets") or {}).values() if "file" in item]
    images = {service["image"] for service in services.values() if service.get("image")}
    return {
        "limits": tuple(_limits(name, service) for name, service in services.items()),
        "secret_files": {path: _content(path) for path in secrets},
        "environment": {
            name: {key: value or "" for key, value in (service.get("environment") or {}).items()}
            for name, service in services.items()
        },
        "unset_variables": tuple(dict.fromkeys(re.findall(r'\\?"(\w+)\\?" variable is not set', warnings))),
        "image_architectures": {image: _architecture(client, image) for image in sorted(images)},
    }


def _limits(name: str, service: dict[str, t.Any]) -> _preflight.Limits:
    resources = (service.get("deploy") or {}).get("resources") or {}
    limits, reserved = resources.get("limits") or {}, resources.get("reservations") or {}
    return _preflight.Limits(
        service=name,
        cpus=float(limits.get("cpus") or 0),
        memory=size(limits.get("memory")),
        memory_reserved=size(reserved.get("memory")),
        replicas=int((service.get("deploy") or {}).get("replicas") or 1),
    )


def _content(path: str) -> str | None:
    return Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else None


def _architecture(client: t.Any, image: str) -> str:
    if _engine.image_id(client, image) is None:
        return ""
    return str(client.api.inspect_image(image)["Architecture"])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "project_name": {"type": "str", "required": True},
            "project_src": {"type": "path"},
            "ports": {"type": "list", "elements": "int", "default": []},
            "services": {"type": "dict", "default": {}},
            "disk_free": {"type": "str", "default": "2G"},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, t.Any]:
        host, client = look_at_host(params["project_name"], params["ports"])
        facts = _preflight.Facts(
            host=host,
            project=params["project_name"],
            ports=tuple(params["ports"]),
            disk_needed=size(params["disk_free"]),
            limits=tuple(
                _preflight.Limits(
                    service=name,
                    cpus=float(service.get("cpus") or 0),
                    memory=size(service.get("memory")),
                    memory_reserved=size(service.get("memory_reserved")),
                    replicas=int(service.get("replicas") or 1),
                )
                for name, service in params["services"].items()
            ),
        )
        directory = params["project_src"]
        if directory and client is not None and not _module.not_there_yet(module, directory):
            # Only now: before the role docker_engine, an old version is what it is about to replace.
            host = replace(host, engine=client.version()["Version"], compose=_compose.version("compose"))
            facts = replace(facts, host=host)
            if not _preflight.version_findings(host):
                facts = replace(facts, **look_at_project(directory, client))
        found = _preflight.findings(facts)
        if found:
            module.fail_json(
                msg=f"{len(found)} finding(s) stand in the way; nothing was touched.\n{_preflight.report(found)}",
                findings=[asdict(item) for item in found],
                host=asdict(host),
            )
        return {"changed": False, "findings": [], "host": asdict(host)}

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
