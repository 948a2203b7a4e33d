# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy_status says no as soon as one thing of the running demo is not as declared, and yes when it is mended."""

from __future__ import annotations

import contextlib
import os
import typing as t
from pathlib import Path

import pytest
from hosts import docker
from modules import Result, run_module

ROOT = Path("/srv/shop")


def status(*options: str, **arguments: t.Any) -> Result:
    declared = {
        "root": str(ROOT),
        "project_src": str(ROOT / "project"),
        "include": {"nginx": str(ROOT / "edge")},
        "database": "shop",
        "cache": str(ROOT / "migrations.json"),
        "strategies": {"worker": "rolling"},
        "edge": {
            "directory": str(ROOT / "nginx"),
            "source": str(ROOT / "edge"),
            "certificates": [str(ROOT / "tls")],
            "upstreams": {"backend": 8000, "frontend": 8080},
        },
    }
    return run_module("deploy_status", *options, **(declared | arguments))


def container_of(service: str) -> str:
    """Return the name of a container of the demo: its number grows with each rollout."""
    labels = ("com.docker.compose.project=shop", f"com.docker.compose.service={service}")
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    return docker("ps", "--all", *filters, "--format", "{{.Names}}")


@contextlib.contextmanager
def edited(path: Path, old: str, new: str) -> t.Iterator[None]:
    """Have another text in a file for a while; its times are kept."""
    before, times = path.read_text(), path.stat()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        yield
    finally:
        path.write_text(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextlib.contextmanager
def another_secret() -> t.Iterator[None]:
    secret = ROOT / "secrets/backend/secret_key"
    times = secret.stat()
    os.utime(secret, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    try:
        yield
    finally:
        os.utime(secret, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextlib.contextmanager
def a_certificate_of_now() -> t.Iterator[None]:
    certificate = ROOT / "tls/fullchain.pem"
    times = certificate.stat()
    os.utime(certificate)
    try:
        yield
    finally:
        os.utime(certificate, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextlib.contextmanager
def a_stopped_frontend() -> t.Iterator[None]:
    frontend = container_of("frontend")
    docker("stop", frontend)
    try:
        yield
    finally:
        docker("start", frontend)
        docker("compose", "--project-directory", str(ROOT / "current"), "up", "--detach", "--wait", "--no-recreate")


@contextlib.contextmanager
def an_orphan() -> t.Iterator[None]:
    image = docker("inspect", "--format", "{{.Image}}", container_of("redis"))
    labels = ("com.docker.compose.project=shop", "com.docker.compose.service=ghost", "com.docker.compose.oneoff=False")
    options = [word for label in labels for word in ("--label", label)]
    docker("create", "--name", "shop-ghost-1", *options, image)
    try:
        yield
    finally:
        docker("rm", "--force", "--volumes", "shop-ghost-1")


@contextlib.contextmanager
def an_older_revision() -> t.Iterator[None]:
    sql = ("exec", container_of("db"), "psql", "-U", "shop", "-d", "shop", "-qc")
    docker(*sql, "UPDATE alembic_version SET version_num = '0002'")
    try:
        yield
    finally:
        docker(*sql, "UPDATE alembic_version SET version_num = '0003'")


def record() -> Path:
    return (ROOT / "current").resolve() / "release.json"


CHANGES: dict[str, tuple[t.Callable[[], contextlib.AbstractContextManager[None]], str]] = {
    "edge configuration": (
        lambda: edited(ROOT / "edge/conf.d/redirect.conf", "Plain http", "plain http"),
        "the current release is not the declared project",
    ),
    "project": (
        lambda: edited(ROOT / "project/compose.yaml", "replicas: 1", "replicas: 2"),
        "the current release is not the declared project",
    ),
    "certificate not loaded": (a_certificate_of_now, "nginx: files are newer than what nginx has loaded"),
    "secret": (another_secret, "the current release is not the declared project"),
    "failed release": (
        lambda: edited(record(), '"outcome": "deployed"', '"outcome": "failed"'),
        "no release is deployed",
    ),
    "revision": (an_older_revision, "the database is not at the head of the migrations"),
    "stopped container": (a_stopped_frontend, "frontend: container is exited"),
    "orphan": (an_orphan, "ghost: no longer part of the project"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_as_declared_is_named_and_what_is_mended_is_settled(change: str) -> None:
    make, reason = CHANGES[change]
    with make():
        answer = status()
    assert (answer["settled"], answer["changed"]) == (False, False)
    assert answer["reason"].startswith(reason)
    assert status()["settled"] is True


def test_settled_names_the_release_and_what_runs_also_in_check_mode() -> None:
    for options in ((), ("--check",)):
        answer = status(*options)
        assert answer["settled"] is True
        assert answer["id"] == record().parent.name
        assert {item["service"] for item in answer["containers"]} >= {"db", "backend", "nginx"}


def test_what_cannot_be_looked_at_is_not_settled() -> None:
    answer = status(project_src="/srv/shop/nowhere")
    assert answer["settled"] is False
    assert "/srv/shop/nowhere" in answer["reason"]


def test_a_service_that_is_not_there_is_not_settled() -> None:
    assert status(service="api")["reason"] == "the project has no service named api"
