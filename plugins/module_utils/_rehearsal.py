# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes before the switch: a second nginx, as the edge but on a port nobody knows, asks the new containers only.

Users meet a release that answers wrongly when it has the traffic; here nobody does.
"""

from __future__ import annotations

import copy
import os
import shutil
import time
import typing as t
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _edge, _engine, _nginx, _probes, _reload

START_SECONDS = 30.0
PAUSE = 0.01
"""Between two looks for nginx's workers: that they are there gives no event."""


def obstacle(service: t.Mapping[str, t.Any], edge: _edge.Edge, site: _probes.Site) -> str:
    """Return why a second edge cannot be asked, empty if it can be. ``service`` is the edge's, resolved by Compose."""
    if service.get("network_mode"):
        return f"{edge.service} has the network_mode {service['network_mode']}"
    if not _port_inside(service, site):
        return f"{edge.service} publishes no port {_port(site)}"
    if _mount(service, edge.directory) is None:
        return f"{edge.directory} is not mounted in {edge.service}"
    return ""


def run(
    client: t.Any,
    project: _compose.Project,
    model: t.Mapping[str, t.Any],
    edge: _edge.Edge,
    containers: t.Mapping[str, t.Sequence[str]],
    site: _probes.Site,
    probes: t.Sequence[_probes.Probe],
) -> None:
    """Ask the ``containers`` (names by service) through an edge of their own; raise StackError at a wrong answer.

    Whatever is raised, that edge is gone afterwards.
    """
    name, directory = _places(model["name"], edge)
    inside = _port_inside(model["services"][edge.service], site)
    clear_away(client, model["name"], edge)
    try:
        _nginx.write_files(directory, edge.files_for_rehearsal(containers))
        _compose.run_detached(project, second(model, edge, directory, inside), edge.service, name)
        port = _wait(client, name, inside)
        _probes.run(replace(site, address=f"127.0.0.1:{port}"), probes)
    finally:
        clear_away(client, model["name"], edge)


def clear_away(client: t.Any, project_name: str, edge: _edge.Edge) -> None:
    """Remove the second edge, also one that a killed run left behind; where there is none, that is fine."""
    name, directory = _places(project_name, edge)
    _engine.remove(client, name)
    if directory.exists():
        shutil.rmtree(directory)


def _places(project_name: str, edge: _edge.Edge) -> tuple[str, Path]:
    """Return the name of the second edge's container, and the directory of its files."""
    return f"{project_name}-{edge.service}-rehearsal", edge.directory.with_name(f".{edge.directory.name}-rehearsal")


def second(model: t.Mapping[str, t.Any], edge: _edge.Edge, directory: Path, port: int) -> dict[str, t.Any]:
    """Return a project with the edge alone: it reads ``directory``, and its ``port`` is published where it is free."""
    service = copy.deepcopy(dict(model["services"][edge.service]))
    for key in ("container_name", "depends_on", "healthcheck", "mac_address"):
        service.pop(key, None)
    for network in (service.get("networks") or {}).values():
        for key in ("ipv4_address", "ipv6_address", "link_local_ips", "mac_address"):
            (network or {}).pop(key, None)
    service["restart"] = "no"
    service["ports"] = [{"mode": "ingress", "host_ip": "127.0.0.1", "target": port, "protocol": "tcp"}]
    mount = _mount(service, edge.directory)
    target = str(Path(mount["target"]) / os.path.relpath(edge.directory, mount["source"])) if mount else ""
    others = [item for item in service["volumes"] if item["target"] != os.path.normpath(target)]
    bind = {"type": "bind", "source": str(directory), "target": os.path.normpath(target), "read_only": True}
    service["volumes"] = [*others, bind]
    return {**model, "services": {edge.service: service}}


def _wait(client: t.Any, name: str, inside: int) -> int:
    """Wait until nginx listens; return the port on the host that leads to it."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        container = _engine.inspect(client, name)
        if container is None or container.status != "running":
            break
        # nginx opens its sockets before it starts its workers.
        if _reload.workers(container.pid):
            return _engine.host_port(client, container.id, inside)
        time.sleep(PAUSE)
    raise _nginx.rejection(_engine.log_tail(client, name), {})


def _port(site: _probes.Site) -> int:
    url = urlsplit(site.url)
    given = urlsplit(f"//{site.address}").port if site.address else None
    return given or url.port or (443 if url.scheme == "https" else 80)


def _port_inside(service: t.Mapping[str, t.Any], site: _probes.Site) -> int:
    published = {str(port.get("published")): int(port["target"]) for port in service.get("ports") or []}
    return published.get(str(_port(site)), 0)


def _mount(service: t.Mapping[str, t.Any], directory: Path) -> dict[str, t.Any] | None:
    """Return the mount a directory of the host is seen through, the nearest if there are several."""
    place = directory.resolve()
    mounts = [mount for mount in service.get("volumes") or [] if mount["type"] == "bind"]
    above = [mount for mount in mounts if place.is_relative_to(Path(mount["source"]).resolve())]
    return max(above, key=lambda mount: len(str(mount["source"])), default=None)
