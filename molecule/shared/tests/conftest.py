# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of the scenario as its tests see it: from inside over ssh with sudo, and from outside as a browser does."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from testinfra.host import Host

Inspected = dict[str, t.Any]


@dataclass(frozen=True)
class Answer:
    """Status, header lines and body of a response."""

    status: int
    head: str
    body: str


@dataclass(frozen=True)
class Site:
    """The site of the stack from outside the host; certificates are verified against the stack's own CA."""

    http_port: int
    https_port: int
    authority: Path

    def get(self, url: str) -> Answer:
        """GET a URL of the site, wherever its ports are published."""
        command = ["curl", "--silent", "--show-error", "--include", "--http1.1", "--max-time", "15"]
        command += ["--cacert", str(self.authority)]
        command += ["--connect-to", f"shop.example.com:443:127.0.0.1:{self.https_port}"]
        command += ["--connect-to", f"shop.example.com:80:127.0.0.1:{self.http_port}", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        head, _line, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return Answer(int(head.split()[1]), head, body)


@pytest.fixture(scope="module")
def variables(host: Host) -> dict[str, t.Any]:
    """What the inventory says of the host."""
    return t.cast("dict[str, t.Any]", host.ansible.get_variables())


@pytest.fixture(scope="module")
def site(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Site:
    instances = yaml.safe_load(Path(os.environ["MOLECULE_INSTANCE_CONFIG"]).read_text())
    instance = next(item for item in instances if item["instance"] == host.backend.host)
    authority = tmp_path_factory.mktemp("tls") / "ca.pem"
    with host.sudo():
        authority.write_text(host.file("/srv/shop/tls/ca/ca.pem").content_string)
    return Site(instance["http_port"], instance["https_port"], authority)


@pytest.fixture(scope="module")
def containers(host: Host) -> dict[str, list[Inspected]]:
    """The stack's containers as `docker inspect` shows them, by service."""
    with host.sudo():
        found = host.check_output("docker inspect $(docker ps -aq --filter label=com.docker.compose.project=shop)")
    by_service: dict[str, list[Inspected]] = {}
    for container in json.loads(found):
        by_service.setdefault(container["Config"]["Labels"]["com.docker.compose.service"], []).append(container)
    return by_service
