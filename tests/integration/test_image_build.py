# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of image_build: what changed is built, from cached layers, and nothing else is."""

from __future__ import annotations

import json
import typing as t
import uuid
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, newest_image, project

DOCKERFILE = """
ARG BASE
FROM ${BASE} AS production
WORKDIR /app
COPY dependencies.txt .
# Stands for an installation: its output is another one each time it really runs.
RUN cat /proc/sys/kernel/random/uuid > /installed
COPY . .
"""


@pytest.fixture
def monorepo(tmp_path: Path) -> t.Iterator[Project]:
    """Three services, two of which have the same build."""
    with project(tmp_path) as it:
        for part in ("backend", "frontend"):
            directory = tmp_path / part
            directory.mkdir()
            (directory / "Dockerfile").write_text(DOCKERFILE)
            (directory / ".dockerignore").write_text("*.log\n")
            (directory / "dependencies.txt").write_text(uuid.uuid4().hex)
            (directory / "main.py").write_text("print(1)\n")
        arguments = {"BASE": newest_image("shipshape/python")}
        build = {"target": "production", "args": arguments}
        backend = {"build": {"context": "backend", **build}}
        it.declare({"backend": backend, "worker": backend, "frontend": {"build": {"context": "frontend", **build}}})
        yield it


def installed(image: str) -> str:
    """Return what the dependency layer of an image holds."""
    return docker("run", "--rm", "--network", "none", image, "cat", "/installed")


def test_only_what_changed_is_built_and_from_cached_layers(monorepo: Project) -> None:
    checked = monorepo.run("image_build", "--check")
    assert checked["changed"]
    assert docker("images", "--quiet", f"{monorepo.name}/*") == ""

    first = monorepo.run("image_build")
    images = first["images"]
    assert first["changed"]
    assert images == checked["images"]
    assert set(first["built"]) == set(checked["built"]) == set(images.values())
    assert images["worker"] == images["backend"] != images["frontend"]
    assert images["backend"].startswith(f"{monorepo.name}/backend:")

    (monorepo.directory / "backend/debug.log").write_text("ignored")
    (monorepo.directory / "frontend/main.py").touch()
    again = monorepo.run("image_build")
    assert again["changed"] is False
    assert (again["images"], again["built"]) == (images, {})

    (monorepo.directory / "backend/main.py").write_text("print(2)\n")
    second = monorepo.run("image_build")
    assert list(second["built"]) == [second["images"]["backend"]]
    assert second["images"]["frontend"] == images["frontend"]
    assert second["images"]["worker"] == second["images"]["backend"] != images["backend"]
    assert installed(second["images"]["backend"]) == installed(images["backend"])

    (monorepo.directory / "backend/main.py").write_text("print(1)\n")
    back = monorepo.run("image_build")
    assert back["changed"] is False
    assert back["images"] == images


def test_failed_build_shows_the_end_of_its_log(monorepo: Project) -> None:
    dockerfile = monorepo.directory / "backend/Dockerfile"
    dockerfile.write_text(DOCKERFILE + "RUN echo the lock file is out of date >&2; exit 9\n")
    result = monorepo.run("image_build", services=["backend"])
    assert result["failed"]
    assert f"{monorepo.name}/backend:" in result["cause"]
    assert "the lock file is out of date" in result["evidence"]
    assert "exit code: 9" in result["evidence"]
    assert result["fix"]


def test_missing_dockerfile_is_named(monorepo: Project) -> None:
    (monorepo.directory / "frontend/Dockerfile").unlink()
    result = monorepo.run("image_build")
    assert result["cause"] == f"The Dockerfile {monorepo.directory}/frontend/Dockerfile cannot be read."
    assert docker("images", "--quiet", f"{monorepo.name}/*") == ""


def test_build_secret_reaches_the_build_and_stays_out_of_the_image(monorepo: Project) -> None:
    (monorepo.directory / "token").write_text("uQ7-vd2Lk0_pXz91")
    dockerfile = monorepo.directory / "backend/Dockerfile"
    use = "RUN --mount=type=secret,id=token,required=true sha256sum < /run/secrets/token > /seen\n"
    dockerfile.write_text(DOCKERFILE + use)
    model = json.loads((monorepo.directory / "compose.yaml").read_text())
    model["services"]["backend"]["build"]["secrets"] = ["token"]
    monorepo.declare({"backend": model["services"]["backend"]}, secrets={"token": {"file": "./token"}})
    result = monorepo.run("image_build")
    assert result["changed"], result.get("msg")
    assert "uQ7-vd2Lk0_pXz91" not in docker("history", "--no-trunc", result["images"]["backend"])
    assert docker("run", "--rm", result["images"]["backend"], "cat", "/seen")
