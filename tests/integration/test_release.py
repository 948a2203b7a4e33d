# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of release: a directory that is whole, a `current` that is always there, a record of the outcome."""

from __future__ import annotations

import json
import subprocess
import time
import typing as t
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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


@dataclass(frozen=True)
class Built:
    """A stack with an image a release, all small and as image_build makes them."""

    stack: Stack
    repository: str

    def image(self, content: str, tag: str = "") -> str:
        """Make an image with this tag, and the label that says it is its content."""
        name = self.name(tag or content)
        file = f"FROM {self.stack.image}\nLABEL shipshape.stack.content={content} test={uuid.uuid4().hex}\n"
        subprocess.run(["docker", "build", "--quiet", "--tag", name, "-"], input=file, text=True, check=True)
        return name

    def name(self, content: str) -> str:
        return f"{self.repository}:{content}"

    def release(self, content: str, **arguments: t.Any) -> Result:
        """Build, stage and deploy a release; return how it was concluded."""
        staged = self.stack.stage(images={"web": self.image(content)})
        return {**staged, **self.stack.conclude("deployed", staged["id"], **arguments)}

    def tags(self) -> set[str]:
        return set(docker("images", self.repository, "--format", "{{.Tag}}").split())


@pytest.fixture
def built(stack: Stack) -> Built:
    return Built(stack, f"{stack.project.name}/web")


def backdate(stack: Stack, release: str, days: int) -> None:
    """Make a release look as if it was made and deployed days ago."""
    record = stack.record(release)
    moment = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = stack.root / "releases" / release / "release.json"
    path.write_text(json.dumps(record | {"created": moment, "deployed": moment}))


def test_images_go_with_the_last_release_that_names_them(built: Built) -> None:
    first = built.release("one")
    built.image("one", tag="by-hand")
    second = built.release("two")
    assert second["pruned"] == second["pruned_images"] == []

    staged = built.stack.stage(images={"web": built.image("three")})
    checked = built.stack.conclude("deployed", staged["id"], "--check", keep=2)
    assert (checked["changed"], checked["pruned"], checked["pruned_images"]) == (
        True,
        [first["id"]],
        [built.name("one")],
    )
    assert built.tags() == {"one", "two", "three", "by-hand"}

    third = built.stack.conclude("deployed", staged["id"], keep=2)
    assert (third["pruned"], third["pruned_images"]) == (checked["pruned"], checked["pruned_images"])
    # The target of a rollback and its image stay, and so does what image_build did not make.
    assert built.tags() == {"two", "three", "by-hand"}
    again = built.stack.conclude("deployed", staged["id"], keep=2)
    assert (again["changed"], again["pruned"], again["pruned_images"]) == (False, [], [])


def test_image_of_a_kept_release_stays_though_one_that_goes_names_it_too(built: Built) -> None:
    first = built.release("one")
    built.release("two")
    (built.stack.root / "nginx/nginx.conf").write_text("events { }\n")
    include = {"nginx": str(built.stack.root / "nginx")}
    staged = built.stack.stage(images={"web": built.name("one")}, include=include)
    last = built.stack.conclude("deployed", staged["id"], keep=2)
    assert (last["pruned"], last["pruned_images"]) == ([first["id"]], [])
    assert built.tags() == {"one", "two"}


@pytest.mark.parametrize("command", ["run --detach", "create"])
def test_image_of_a_container_stays_and_goes_later(built: Built, command: str) -> None:
    first = built.release("one")
    name = f"{built.stack.project.name}-user"
    docker(*command.split(), "--name", name, built.name("one"), "sleep", "600")
    try:
        built.release("two")
        third = built.release("three", keep=2)
        assert not third.get("failed")
        assert (third["pruned"], third["pruned_images"]) == ([first["id"]], [])
        assert "one" in built.tags()
    finally:
        docker("rm", "--force", "--volumes", name)
    # Nobody uses it any more, and it is older than every release that is left.
    assert set(built.release("four", keep=2)["pruned_images"]) == {built.name("one"), built.name("two")}
    assert built.tags() == {"three", "four"}


def test_leftover_of_a_failed_build_goes_when_it_is_older_than_every_release(built: Built) -> None:
    built.image("leftover")
    time.sleep(1)  # a record has the time in whole seconds
    assert built.release("one")["pruned_images"] == [built.name("leftover")]
    built.image("newer")
    built.release("two")
    assert built.release("three", keep=3)["pruned_images"] == []
    assert built.tags() == {"one", "newer", "two", "three"}
    assert set(built.release("four", keep=2)["pruned_images"]) == {built.name(it) for it in ("one", "newer", "two")}


def test_old_release_goes_with_its_image_though_there_is_room(built: Built) -> None:
    first, second = built.release("one"), built.release("two")
    for release in (first, second):
        backdate(built.stack, release["id"], 40)
    third = built.release("three", keep=9, keep_days=30)
    assert (third["pruned"], third["pruned_images"]) == ([first["id"]], [built.name("one")])


def test_release_with_a_broken_record_stays_with_its_image(built: Built) -> None:
    first = built.release("one")
    built.release("two")
    record = built.stack.root / "releases" / first["id"] / "release.json"
    record.write_text("{")
    built.release("three", keep=1)
    last = built.release("four", keep=1)
    assert not last.get("failed")
    assert last["pruned_images"] == [built.name("two")]
    assert record.parent.is_dir()
    assert built.tags() == {"one", "three", "four"}


def test_revision_of_the_record_is_kept_where_no_migration_ran(stack: Stack) -> None:
    first = stack.stage()["id"]
    stack.conclude("deployed", first, revision="0001")
    second = stack.stage(images={"web": "shop/web:2"})["id"]
    stack.conclude("deployed", second)
    assert stack.record(second)["revision"] == "0001"
    assert stack.conclude("deployed", second, revision="0002")["changed"]
    assert stack.conclude("deployed", first)["changed"]
    assert stack.record(first)["revision"] == "0001"
    assert stack.conclude("failed", second)["changed"]
    assert (stack.record(second)["revision"], stack.record(second)["outcome"]) == ("0002", "failed")


def test_release_info_lists_every_release_with_its_record(stack: Stack) -> None:
    nothing = run_module("release_info", root=str(stack.root))
    assert (nothing["changed"], nothing["current"], nothing["releases"]) == (False, "", [])
    good = stack.stage()["id"]
    stack.conclude("deployed", good, revision="0001")
    bad = stack.stage(images={"web": "shop/web:bad"})["id"]
    stack.conclude("failed", bad)
    broken = stack.root / "releases/20260101T000000Z-0123456789"
    broken.mkdir()
    (broken / "release.json").write_text("{}")

    found = run_module("release_info", "--check", root=str(stack.root))
    assert (found["changed"], found["current"]) == (False, good)
    newest, deployed, unreadable = found["releases"]
    assert deployed == {**stack.record(good), "current": True}
    assert (newest["id"], newest["outcome"], newest["current"]) == (bad, "failed", False)
    assert {key: unreadable[key] for key in ("id", "outcome", "current")} == {
        "id": broken.name,
        "outcome": "broken",
        "current": False,
    }
    assert "content_hash" in unreadable["reason"]
