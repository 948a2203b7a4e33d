# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Engine that docker_engine has installed."""

from __future__ import annotations

import json
import re
import typing as t

from testinfra.host import Host

PACKAGES = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "python3-docker")


def version(text: str) -> tuple[int, ...]:
    """Return the first dotted number of ``text``, for comparisons."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    assert found, text
    return tuple(int(part) for part in found.group().split("."))


def test_engine_compose_buildx_and_sdk_are_new_enough(root: Host) -> None:
    assert version(root.check_output("docker version --format '{{.Server.Version}}'")) >= (25, 0)
    assert version(root.check_output("docker compose version --short")) >= (2, 26)
    assert version(root.check_output("docker buildx version")) >= (0, 13)
    root.check_output("/usr/bin/python3 -c 'import docker; docker.from_env().ping()'")


def test_packages_come_from_the_distribution_or_from_docker(root: Host) -> None:
    installed = [name for name in PACKAGES if root.package(name).is_installed]
    upstream = root.package("docker-ce").is_installed
    assert installed == (["python3-docker"] if upstream else list(PACKAGES))


def test_a_newer_suite_gives_nothing_but_docker(root: Host) -> None:
    """Debian 12 takes Docker's packages, and no library or runtime, from the next release."""
    if root.system_info.codename == "bookworm":
        others = root.check_output("dpkg-query -W -f '${Package} ${Version}\\n' containerd runc libc6 iptables python3")
        assert len(others.splitlines()) == 5
        assert "deb13" not in others
        assert "Candidate: 2.36" in root.check_output("apt-cache policy libc6")
    else:
        assert not root.file("/etc/apt/sources.list.d/docker-newer-suite.sources").exists


def test_engine_runs_now_and_at_boot(root: Host) -> None:
    assert root.service("docker").is_running
    assert root.service("docker").is_enabled


def test_daemon_json_is_what_was_declared_with_safe_defaults(root: Host, variables: dict[str, t.Any]) -> None:
    file = root.file("/etc/docker/daemon.json")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    mirrors = variables["docker_engine_registry_mirrors"]
    assert json.loads(file.content_string) == {
        "data-root": "/var/lib/docker",
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-file": "3", "max-size": "10m"},
        "no-new-privileges": True,
    } | ({"registry-mirrors": mirrors} if mirrors else {})
    info = json.loads(root.check_output("docker info --format '{{json .}}'"))
    assert info["LiveRestoreEnabled"] is True
    assert info["Driver"] == "overlay2"
    assert "name=no-new-privileges" in info["SecurityOptions"]
    assert (info["RegistryConfig"]["Mirrors"] or []) == [f"{mirror}/" for mirror in mirrors]


def test_nobody_but_root_may_use_the_engine(host: Host) -> None:
    assert host.group("docker").members == []
    assert host.run("docker ps").rc != 0


def test_logs_of_a_container_are_rotated(root: Host) -> None:
    """40 MB of output leave three files of 10 MB."""
    image = root.check_output("docker inspect --format '{{.Image}}' $(docker ps -q | head -n 1)")
    root.check_output("docker rm --force noisy")
    root.check_output(
        f"docker run --name noisy --network none --entrypoint sh {image} -c 'yes 0123456789012345 | head -c 40000000'"
        " > /dev/null"
    )
    log = root.check_output("docker inspect --format '{{.LogPath}}' noisy")
    sizes = [int(size) for size in root.check_output(f"stat --format %s {log}*").split()]
    root.check_output("docker rm noisy")
    assert len(sizes) == 3
    assert sum(sizes) <= 31_000_000
