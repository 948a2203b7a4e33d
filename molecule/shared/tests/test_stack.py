# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack that `playbooks/site.yml` has put on the host."""

from __future__ import annotations

import json
import typing as t

import pytest
from testinfra.host import Host

Containers = dict[str, list[dict[str, t.Any]]]

SERVICES = {"db": 1, "redis": 1, "backend": 2, "worker": 1, "frontend": 1, "nginx": 1}
DIRECTORIES = {
    "": ("shop", 0o750),
    "/project": ("shop", 0o750),
    "/releases": ("shop", 0o750),
    "/backups": ("shop", 0o700),
    "/nginx": ("shop", 0o755),
    "/edge": ("root", 0o755),
    "/tls": ("shop", 0o755),
    "/secrets": ("root", 0o700),
}
MEMORY = "/sys/fs/cgroup/{memory/memory.limit_in_bytes,memory.max}"
PIDS = "/sys/fs/cgroup/{pids/pids.max,pids.max}"


def test_page_and_api_are_served_over_verified_https(site: t.Any) -> None:
    page = site.get("https://shop.example.com/")
    assert page.status == 200
    assert "<!doctype html>" in page.body.lower()
    assert site.get("https://shop.example.com/api/health/ready").status == 200
    assert isinstance(json.loads(site.get("https://shop.example.com/api/items").body), list)


def test_http_redirects_to_https(site: t.Any) -> None:
    answer = site.get("http://shop.example.com/items?x=1")
    assert answer.status == 308
    assert "location: https://shop.example.com/items?x=1" in answer.head.lower()


def test_only_the_edge_and_ssh_listen(root: Host) -> None:
    outside = [entry for entry in root.socket.get_listening_sockets() if "127.0.0" not in entry and "unix" not in entry]
    ports = {int(entry.rsplit(":", 1)[1]) for entry in outside if entry.startswith("tcp")}
    assert ports == {22, 80, 443}


def test_all_services_run_and_are_healthy(containers: Containers) -> None:
    assert {name: len(found) for name, found in containers.items()} == SERVICES
    for name, found in containers.items():
        assert [container["State"]["Health"]["Status"] for container in found] == ["healthy"] * len(found), name


def test_every_container_is_confined(containers: Containers) -> None:
    for name, found in containers.items():
        for container in found:
            host = container["HostConfig"]
            assert container["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
            assert host["ReadonlyRootfs"] is True, name
            assert host["CapDrop"] == ["ALL"], name
            assert not host["CapAdd"], name
            assert "no-new-privileges:true" in host["SecurityOpt"], name
            assert host["NanoCpus"] > 0, name
            assert 0 < host["MemoryReservation"] <= host["Memory"], name
            assert host["PidsLimit"] > 0, name
            assert host["RestartPolicy"]["Name"] == "unless-stopped", name


def test_no_process_of_a_container_is_root(root: Host, containers: Containers) -> None:
    for name, found in containers.items():
        processes = root.check_output(f"docker top {found[0]['Id']} -eo pid,uid").splitlines()[1:]
        uids = {line.split()[1] for line in processes}
        assert uids, name
        assert "0" not in uids, name


@pytest.mark.parametrize("service", SERVICES)
def test_limits_are_in_force_inside_the_container(root: Host, containers: Containers, service: str) -> None:
    container = containers[service][0]
    read = f"docker exec {container['Id']} bash -c 'cat {{}} 2>/dev/null'"
    assert int(root.run(read.format(MEMORY)).stdout) == container["HostConfig"]["Memory"]
    assert int(root.run(read.format(PIDS)).stdout) == container["HostConfig"]["PidsLimit"]


def test_service_account_cannot_log_in_and_shares_no_id_with_a_container(root: Host, containers: Containers) -> None:
    account = root.user("shop")
    assert account.shell == "/usr/sbin/nologin"
    assert account.home == "/srv/shop"
    assert account.groups == ["shop"]
    assert root.check_output("getent shadow shop").split(":")[1].startswith("!")
    used = {int(found[0]["Config"]["User"].split(":")[0]) for found in containers.values()}
    assert account.uid not in used


def test_directories_belong_to_the_account_and_secrets_to_root(root: Host) -> None:
    for name, (owner, mode) in DIRECTORIES.items():
        directory = root.file(f"/srv/shop{name}")
        assert (directory.user, directory.group, directory.mode) == (owner, owner, mode), name


def test_secrets_are_unreadable_for_other_users(root: Host) -> None:
    files = root.check_output("find /srv/shop/secrets /srv/shop/tls -type f -printf '%m %p\\n'").splitlines()
    secret = [line.split() for line in files if "/secrets/" in line or line.endswith("key.pem")]
    assert len(secret) >= 8
    assert [path for mode, path in secret if int(mode, 8) & 0o077] == []
    nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs cat"
    for _mode, path in secret:
        assert root.run(f"{nobody} {path}").rc != 0, path


def test_no_secret_in_what_inspect_shows(root: Host, containers: Containers) -> None:
    secrets = root.check_output("for file in /srv/shop/secrets/values/*; do cat $file; echo; done").split()
    assert len(secrets) >= 3
    shown = json.dumps(containers)
    assert [secret for secret in secrets if secret in shown] == []


def test_compose_works_by_hand_in_current(root: Host) -> None:
    listed = root.check_output("cd /srv/shop/current && docker compose ps --format '{{.Service}}'")
    assert set(listed.split()) == set(SERVICES)


def test_base_images_are_pinned_by_digest_or_built_from_the_distribution(
    containers: Containers, variables: dict[str, t.Any]
) -> None:
    for service in ("db", "redis", "nginx"):
        image = containers[service][0]["Config"]["Image"]
        if variables["docker_engine_registry_mirrors"]:
            assert "@sha256:" in image, service
        else:
            assert image.startswith("shipshape/"), service
