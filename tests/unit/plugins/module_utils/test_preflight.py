# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight: each rule, and all findings at once."""

from __future__ import annotations

import socket
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _preflight
from ansible_collections.shipshape.stack.plugins.module_utils._preflight import Facts, Holder, Host, Limits

GIB = 1024**3
HOST = Host("x86_64", cpus=2, memory=4 * GIB, disk_free=20 * GIB, engine="26.1.5", compose="2.26.1")
FINE = Facts(
    host=HOST,
    project="shop",
    ports=(80, 443),
    disk_needed=2 * GIB,
    limits=(Limits("db", 1.0, GIB, GIB // 2), Limits("backend", 2.0, GIB, GIB // 2, replicas=2)),
    secret_files={"/srv/shop/secrets/db/postgres_password": "uQ7-vd2Lk0_pXz91"},
    environment={"backend": {"LOG_LEVEL": "info", "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password"}},
    image_architectures={"shop/backend:1": "amd64", "not/here:1": ""},
)


def only_finding(**change: t.Any) -> _preflight.Finding:
    [finding] = _preflight.findings(replace(FINE, **change))
    assert finding.cause and finding.evidence and finding.fix
    return finding


def test_good_host_has_no_findings() -> None:
    assert _preflight.findings(FINE) == []


def test_versions_that_were_not_looked_at_are_no_findings() -> None:
    assert _preflight.findings(replace(FINE, host=replace(HOST, engine=None, compose=None))) == []


def test_missing_compose_is_a_finding() -> None:
    assert only_finding(host=replace(HOST, compose="")).cause == "Docker Compose is missing."


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "24.0.9"])
def test_old_engine_is_a_finding(version: str) -> None:
    finding = only_finding(host=replace(HOST, engine=version))
    assert finding.cause == "Docker Engine is too old."
    assert version in finding.evidence


@pytest.mark.parametrize("version", ["25.0.0", "26.1.5+dfsg1", "28.5.2", "100.0.0-rc.1"])
def test_new_engine_is_none(version: str) -> None:
    assert _preflight.findings(replace(FINE, host=replace(HOST, engine=version))) == []


def test_old_compose_is_a_finding() -> None:
    assert only_finding(host=replace(HOST, compose="1.29.2")).cause == "Docker Compose is too old."


def test_busy_port_names_its_holder() -> None:
    finding = only_finding(host=replace(HOST, listeners=(Holder(80, "apache2 (pid 812)"),)))
    assert finding.cause == "Port 80 is already in use."
    assert finding.evidence == "It is held by apache2 (pid 812)."
    assert finding.fix.startswith("Stop apache2,")


def test_port_of_the_own_project_is_no_finding() -> None:
    own = (Holder(443, "the container shop-nginx-1", "shop"),)
    assert _preflight.findings(replace(FINE, host=replace(HOST, listeners=own))) == []


def test_port_of_another_project_is_a_finding() -> None:
    other = (Holder(443, "the container blog-nginx-1", "blog"),)
    assert "blog-nginx-1" in only_finding(host=replace(HOST, listeners=other)).evidence


def test_port_nobody_asked_for_is_no_finding() -> None:
    assert _preflight.findings(replace(FINE, host=replace(HOST, listeners=(Holder(22, "sshd (pid 1)"),)))) == []


def test_full_disk_is_a_finding_with_both_sizes() -> None:
    finding = only_finding(host=replace(HOST, disk_free=GIB))
    assert finding.evidence.startswith("1.0 GiB free")
    assert "2.0 GiB wanted" in finding.evidence


def test_more_cores_than_there_are_is_a_finding() -> None:
    finding = only_finding(limits=(Limits("backend", 4.0, 0, 0),))
    assert (finding.cause, finding.evidence) == ("backend may use more cores than there are.", "4 of 2")


def test_more_memory_than_there_is_is_a_finding() -> None:
    finding = only_finding(limits=(Limits("db", 1.0, 8 * GIB, 0),))
    assert (finding.cause, finding.evidence) == ("db may use more memory than there is.", "8.0 GiB of 4.0 GiB")


def test_reservations_count_with_all_replicas() -> None:
    finding = only_finding(limits=(Limits("backend", 1.0, GIB, GIB, replicas=5),))
    assert finding.evidence == "5.0 GiB reserved of 4.0 GiB"


def test_missing_secret_file_is_a_finding() -> None:
    finding = only_finding(secret_files={"/srv/shop/secrets/db/x": None})
    assert (finding.cause, finding.evidence) == ("A secret file is missing.", "/srv/shop/secrets/db/x")


@pytest.mark.parametrize("content", ["", "\n", "changethis\n", "short"])
def test_secret_file_without_a_secret_is_a_finding_that_does_not_show_it(content: str) -> None:
    finding = only_finding(secret_files={"/s": content})
    assert finding.cause == "A secret file holds no secret."
    assert not content.strip() or content.strip() not in finding.evidence.replace("a placeholder or shorter", "")


def test_unset_variable_is_named() -> None:
    assert only_finding(unset_variables=("DOMAIN",)).evidence == "DOMAIN"


def test_placeholder_in_the_environment_is_a_finding() -> None:
    finding = only_finding(environment={"backend": {"SECRET_KEY": "changethis"}})
    assert finding.evidence == "SECRET_KEY of service backend"


@pytest.mark.parametrize(
    ("name", "value"), [("EXCHANGE_KEY_NAME", "exchange-rates"), ("LOG_LEVEL", "changethis"), ("TOKEN_TTL", "3600")]
)
def test_ordinary_environment_is_no_finding(name: str, value: str) -> None:
    assert _preflight.findings(replace(FINE, environment={"backend": {name: value}})) == []


def test_image_of_another_architecture_is_a_finding() -> None:
    finding = only_finding(image_architectures={"shop/backend:1": "arm64"})
    assert finding.evidence == "shop/backend:1 is arm64; this host is amd64"


def test_architecture_is_named_as_docker_does() -> None:
    arm = replace(HOST, architecture="aarch64")
    assert _preflight.findings(replace(FINE, host=arm, image_architectures={"a": "arm64"})) == []


def test_all_findings_come_at_once_and_the_report_shows_each() -> None:
    found = _preflight.findings(
        replace(
            FINE,
            host=replace(HOST, compose="2.20.0", disk_free=0, listeners=(Holder(80, "apache2 (pid 812)"),)),
            secret_files={"/s": None},
            unset_variables=("DOMAIN",),
            image_architectures={"a": "arm64"},
        )
    )
    assert len(found) == 6
    report = _preflight.report(found)
    for item in found:
        assert f"  - {item.cause}\n    evidence: {item.evidence}\n    fix: {item.fix}" in report


def test_listener_of_a_real_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        [holder] = _preflight.listeners([port])
    assert holder.port == port
    assert "(pid " in holder.name


def test_free_port_has_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert _preflight.listeners([port]) == []


def test_host_is_looked_at_even_where_docker_is_not_installed() -> None:
    host = _preflight.host_facts("/nowhere/docker")
    assert host.cpus > 0 and host.memory > 0 and host.disk_free > 0
