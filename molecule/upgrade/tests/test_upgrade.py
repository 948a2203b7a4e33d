# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update of the collection must not have changed."""

from __future__ import annotations

import json
import typing as t

from testinfra.host import Host

Service = dict[str, t.Any]


def by_name(inspected: str) -> dict[str, Service]:
    return {container["Name"]: container for container in json.loads(inspected)}


def declared(container: Service) -> tuple[str, str]:
    """Return what decides whether Compose replaces a container."""
    return container["Config"]["Labels"]["com.docker.compose.config-hash"], container["Image"]


def test_data_is_kept(root: Host) -> None:
    found = root.check_output(
        "docker exec shop-db-1 psql -U shop -d shop -tAc"
        " \"SELECT count(*) FROM item WHERE name = 'Written before the upgrade'\""
    )
    assert found == "1"


def test_secrets_and_certificates_are_kept(root: Host) -> None:
    now = root.check_output("cd /srv/shop && find secrets tls -type f | sort | xargs sha256sum")
    before = root.file("/root/secrets-before").content_string.strip()
    assert set(before.splitlines()) <= set(now.splitlines())


def test_nothing_is_restarted_that_has_not_changed(root: Host) -> None:
    before = by_name(root.file("/root/containers-before.json").content_string)
    now = by_name(root.check_output("docker inspect $(docker ps -q)"))
    unchanged = {name for name in before if name in now and declared(before[name]) == declared(now[name])}
    assert {"/shop-db-1", "/shop-redis-1"} <= unchanged
    for name in unchanged:
        assert now[name]["State"]["StartedAt"] == before[name]["State"]["StartedAt"], name


def test_the_engine_was_not_restarted(root: Host) -> None:
    assert root.file("/run/docker.pid").content_string == root.file("/root/engine-before").content_string
