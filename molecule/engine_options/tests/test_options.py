# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each option of docker_engine, as the Engine has it in force."""

from __future__ import annotations

import ipaddress
import json
import typing as t

import pytest
from testinfra.host import Host


@pytest.fixture
def info(root: Host) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads(root.check_output("docker info --format '{{json .}}'")))


@pytest.fixture
def image(root: Host) -> str:
    """An image that came through the mirror, past the proxy."""
    root.check_output("docker pull --quiet redis:8")
    return "redis:8"


def test_daemon_json_is_what_was_declared(root: Host) -> None:
    assert json.loads(root.file("/etc/docker/daemon.json").content_string) == {
        "data-root": "/var/lib/docker/elsewhere",
        "default-address-pools": [{"base": "10.222.0.0/16", "size": 28}],
        "labels": ["tier=test"],
        "live-restore": False,
        "log-driver": "json-file",
        "log-opts": {"max-file": "2", "max-size": "1m"},
        "max-concurrent-downloads": 5,
        "no-new-privileges": False,
        "proxies": {
            "http-proxy": "http://proxy.invalid:3128",
            "https-proxy": "http://proxy.invalid:3128",
            "no-proxy": "mirror.test,localhost",
        },
        "registry-mirrors": ["http://mirror.test:5000"],
    }


def test_version_is_pinned_and_held(root: Host, info: dict[str, t.Any]) -> None:
    assert info["ServerVersion"].startswith("26.1.")
    assert set(root.check_output("apt-mark showhold").split()) == {
        "docker.io",
        "docker-cli",
        "docker-compose",
        "docker-buildx",
    }


def test_user_may_use_the_engine_without_sudo(root: Host) -> None:
    root.check_output("su --login deploy --command 'docker ps'")


def test_data_is_kept_where_declared(root: Host, info: dict[str, t.Any], image: str) -> None:
    assert info["DockerRootDir"] == "/var/lib/docker/elsewhere"
    assert root.file("/var/lib/docker/elsewhere/image").is_directory
    assert not root.file("/var/lib/docker/image").exists


def test_mirror_serves_docker_hub_past_the_proxy(root: Host, image: str) -> None:
    assert "redis@sha256:" in root.check_output(f"docker inspect --format '{{{{json .RepoDigests}}}}' {image}")


def test_other_registries_are_asked_through_the_proxy(root: Host) -> None:
    refused = root.run("docker pull registry.example.com/nothing:1")
    assert refused.rc != 0
    assert "proxy.invalid" in refused.stderr


def test_networks_come_from_the_declared_pool(root: Host) -> None:
    root.check_output("docker network create pooled")
    subnet = root.check_output("docker network inspect --format '{{(index .IPAM.Config 0).Subnet}}' pooled")
    root.check_output("docker network rm pooled")
    network = ipaddress.ip_network(subnet)
    assert network.prefixlen == 28
    assert network.subnet_of(t.cast("ipaddress.IPv4Network", ipaddress.ip_network("10.222.0.0/16")))


def test_logs_are_bounded_as_declared(root: Host, image: str) -> None:
    """4 MB of output leave two files of 1 MB."""
    root.check_output(
        f"docker run --name noisy --network none --entrypoint sh {image} -c 'yes 0123456 | head -c 4000000' >/dev/null"
    )
    log = root.check_output("docker inspect --format '{{.LogPath}}' noisy")
    sizes = [int(size) for size in root.check_output(f"stat --format %s {log}*").split()]
    root.check_output("docker rm noisy")
    assert len(sizes) == 2
    assert sum(sizes) <= 2_100_000


def test_containers_stop_with_the_engine_where_live_restore_is_off(root: Host, image: str) -> None:
    root.check_output(f"docker run --detach --name sleeper --network none --entrypoint sleep {image} 600")
    started = root.check_output("docker inspect --format '{{.State.StartedAt}}' sleeper")
    root.check_output("systemctl restart docker")
    state = root.check_output("docker inspect --format '{{.State.Status}} {{.State.StartedAt}}' sleeper")
    root.check_output("docker rm --force sleeper")
    assert state == f"exited {started}"


def test_a_setuid_binary_works_where_no_new_privileges_is_off(root: Host, info: dict[str, t.Any], image: str) -> None:
    assert "name=no-new-privileges" not in info["SecurityOptions"]
    status = root.check_output(f"docker run --rm --network none --entrypoint grep {image} NoNewPrivs /proc/self/status")
    assert status.split() == ["NoNewPrivs:", "0"]


def test_any_other_option_of_daemon_json_is_in_force(info: dict[str, t.Any]) -> None:
    assert info["Labels"] == ["tier=test"]
    assert info["HttpProxy"] == "http://proxy.invalid:3128"
    assert info["NoProxy"] == "mirror.test,localhost"


def test_source_distro_asks_nobody_else(root: Host) -> None:
    assert not root.file("/etc/apt/sources.list.d/docker.sources").exists
    assert root.package("docker.io").is_installed
