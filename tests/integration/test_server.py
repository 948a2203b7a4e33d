# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`playbooks/site.yml` on another machine: a Debian server with systemd that has nothing of Docker."""

from __future__ import annotations

import subprocess
import typing as t

import docker
import pytest
from hosts import DebianHost, debian_machine
from playbook import REPOSITORY, run_play

SITE = REPOSITORY / "playbooks" / "site.yml"
DECLARATION = {
    "stack_name": "shop",
    "stack_domain": "shop.example.com",
    "stack_source": str(REPOSITORY / "examples" / "monorepo"),
    "stack_services": {"backend": {"health_path": "/health/ready", "replicas": 2}},
    "base_images_source": "distro",
    "base_images_nginx_check_valid_until": False,
}


@pytest.fixture(scope="module")
def server() -> t.Iterator[DebianHost]:
    with debian_machine("debian13") as host:
        yield host


def give_base_images(server: DebianHost) -> None:
    """Copy the base images this machine has built: their tags name their content, so the server need not build."""
    tags = [
        tag
        for image in docker.from_env().images.list()
        for tag in image.tags
        if tag.startswith("shipshape/") and ":trixie-" in tag
    ]
    save = subprocess.Popen(["docker", "save", *tags], stdout=subprocess.PIPE)
    subprocess.run(["docker", "exec", "-i", server.name, "docker", "load", "--quiet"], stdin=save.stdout, check=True)
    assert save.wait() == 0


def give_certificate_authorities(server: DebianHost) -> None:
    """Let the server trust whom this machine trusts, as an administrator behind an intercepting proxy does."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    subprocess.run(["docker", "cp", "--follow-link", bundle, f"{server.name}:{bundle}"], check=True)


def test_check_mode_on_a_bare_host_does_not_fail_and_does_nothing(server: DebianHost) -> None:
    outcome = run_play(SITE, hosts=server.hosts, extra_vars=DECLARATION, options=["--check", "--diff"])
    assert outcome.returncode == 0
    assert outcome.counter("failed") == 0
    assert not server.machine.exists("dockerd")
    assert not server.machine.file("/srv/shop").exists


def test_a_bare_server_is_provisioned_and_serves(server: DebianHost) -> None:
    engine = [{"hosts": "all", "gather_facts": False, "roles": ["shipshape.stack.docker_engine"]}]
    assert run_play(engine, hosts=server.hosts, extra_vars=DECLARATION).returncode == 0
    give_base_images(server)
    give_certificate_authorities(server)
    outcome = run_play(SITE, hosts=server.hosts, extra_vars=DECLARATION)
    assert outcome.returncode == 0
    ready = server.machine.run(
        'docker exec shop-backend-1 python -c "import urllib.request as r, ssl; '
        "print(r.urlopen(r.Request('https://nginx:8443/api/health/ready', headers={'Host': 'shop.example.com'}), "
        'context=ssl._create_unverified_context()).status)"'
    )
    assert ready.stdout.strip() == "200"
    backends = server.machine.check_output("docker ps --filter label=com.docker.compose.service=backend --quiet")
    assert len(backends.split()) == 2


def test_a_second_run_on_the_server_changes_nothing(server: DebianHost) -> None:
    outcome = run_play(SITE, hosts=server.hosts, extra_vars=DECLARATION)
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 0
