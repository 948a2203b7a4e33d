# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of release: a directory that is whole, a `current` that is always there, a record of the outcome."""

from __future__ import annotations

import json
import typing as t
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, Result, newest_image, project, run_module, sleeper


@dataclass(frozen=True)
class Stack:
    """The directory of a stack on the host, with the declared project in it."""

    root: Path
    project: Project
    image: str

    def stage(self, *options: str, **arguments: t.Any) -> Result:
        given = {"root": str(self.root), "state": "staged", "owner": "root", "images": {"web": self.image}}
        return self.project.run("release", *options, **{**given, **arguments})

    def conclude(self, state: str, release: str, *options: str, **arguments: t.Any) -> Result:
        return run_module("release", *options, root=str(self.root), state=state, id=release, **arguments)

    def record(self, release: str) -> dict[str, t.Any]:
        path = self.root / "releases" / release / "release.json"
        return t.cast("dict[str, t.Any]", json.loads(path.read_text()))


@pytest.fixture
def stack(tmp_path: Path) -> t.Iterator[Stack]:
    for name in ("project", "releases", "secrets", "nginx"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets/token").write_text(uuid.uuid4().hex)
    (tmp_path / "nginx/nginx.conf").write_text("events {}\n")
    image = newest_image("shipshape/python")
    web = {key: value for key, value in sleeper(image, secrets=["token"]).items() if key != "image"}
    services = {
        "web": {**web, "build": "."},
        "db": sleeper(image, environment={"LEVEL": "${LEVEL:-info}", "PRICE": "5$$"}),
    }
    with project(tmp_path / "project") as it:
        it.declare(services, secrets={"token": {"file": "../secrets/token"}})
        yield Stack(tmp_path, it, image)


def test_release_is_staged_deployed_and_then_unchanged(stack: Stack) -> None:
    checked = stack.stage("--check", "--diff", include={"nginx": str(stack.root / "nginx")})
    assert checked["changed"]
    assert list((stack.root / "releases").iterdir()) == []

    staged = stack.stage("--diff", include={"nginx": str(stack.root / "nginx")})
    assert staged["changed"]
    assert staged["previous"] == ""
    assert staged["diff"]["after"] == checked["diff"]["after"] == Path(staged["path"], "compose.yaml").read_text()
    assert Path(staged["path"], "nginx/nginx.conf").read_text() == "events {}\n"
    assert not (stack.root / "current").exists()
    assert stack.record(staged["id"])["outcome"] == "staged"

    checked = stack.conclude("deployed", staged["id"], "--check")
    assert checked["changed"]
    assert not (stack.root / "current").exists()
    assert stack.conclude("deployed", staged["id"], revision="2b3c")["changed"]
    assert (stack.root / "current").resolve() == Path(staged["path"])
    record = stack.record(staged["id"])
    assert (record["outcome"], record["revision"], record["images"]) == ("deployed", "2b3c", {"web": stack.image})
    assert record["deployed"] >= record["created"]

    again = stack.stage(include={"nginx": str(stack.root / "nginx")})
    assert again["changed"] is False
    assert again["path"] == again["previous"] == staged["path"]
    assert stack.conclude("deployed", staged["id"])["changed"] is False


def test_release_needs_nothing_but_compose(stack: Stack) -> None:
    release = stack.stage()["id"]
    stack.conclude("deployed", release)
    model = json.loads(
        docker("compose", "--project-directory", str(stack.root / "current"), "config", "--format", "json")
    )
    assert "build" not in model["services"]["web"]
    assert model["services"]["web"]["image"] == stack.image
    assert model["services"]["db"]["environment"] == {"LEVEL": "info", "PRICE": "5$$"}
    assert model["secrets"]["token"]["file"] == str(stack.root / "secrets/token")
    current = Project(stack.root / "current", stack.project.name)
    result = current.up()
    assert not result.get("failed"), result.get("msg")
    listed = docker("compose", "--project-directory", str(stack.root / "current"), "ps", "--format", "{{.Service}}")
    assert set(listed.split()) == {"web", "db"}
    assert docker("exec", f"{stack.project.name}-db-1", "printenv", "PRICE") == "5$"
    assert current.up()["changed"] is False


def test_failed_release_is_recorded_and_current_stays(stack: Stack) -> None:
    good = stack.stage()["id"]
    stack.conclude("deployed", good)
    bad = stack.stage(images={"web": "shop/web:bad"})
    assert bad["changed"]
    assert bad["previous"] == str(stack.root / "releases" / good)
    assert stack.conclude("failed", bad["id"])["changed"]
    assert stack.record(bad["id"])["outcome"] == "failed"
    assert (stack.root / "current").resolve().name == good


def test_new_secret_restamps_its_consumers_only(stack: Stack) -> None:
    def labels(staged: Result) -> dict[str, t.Any]:
        services = json.loads(docker("compose", "--project-directory", staged["path"], "config", "--format", "json"))[
            "services"
        ]
        return {name: service.get("labels") for name, service in services.items()}

    before = labels(stack.stage())
    token = uuid.uuid4().hex + "-new"
    (stack.root / "secrets/token").write_text(token)
    staged = stack.stage()
    after = labels(staged)
    assert staged["changed"]
    assert after["db"] == before["db"]
    assert after["web"] != before["web"]
    assert token not in Path(staged["path"], "compose.yaml").read_text()


def test_override_file_is_part_of_the_release(stack: Stack) -> None:
    override = {"services": {"db": {"environment": {"FROM_OVERRIDE": "yes"}}}}
    (stack.project.directory / "compose.override.yaml").write_text(json.dumps(override))
    assert "FROM_OVERRIDE" in Path(stack.stage()["path"], "compose.yaml").read_text()


def test_image_that_was_not_built_is_named(stack: Stack) -> None:
    result = stack.stage(images={})
    assert result["cause"] == "There is no built image for web."
    assert list((stack.root / "releases").iterdir()) == []


def test_unknown_release_is_refused(stack: Stack) -> None:
    result = stack.conclude("deployed", "20260101T000000Z-nowhere")
    assert result["failed"]
    assert "20260101T000000Z-nowhere" in result["cause"]
    assert not (stack.root / "current").exists()


def test_old_releases_are_pruned_and_current_stays(stack: Stack) -> None:
    made = []
    for number in range(3):
        made.append(stack.stage(images={"web": f"shop/web:{number}"})["id"])
    result = stack.conclude("deployed", made[2], keep=2)
    assert result["pruned"] == [made[0]]
    assert {path.name for path in (stack.root / "releases").iterdir()} == set(made[1:])
