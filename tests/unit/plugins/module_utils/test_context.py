# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content hash of a build: what changes it, and what does not."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _context
from ansible_collections.shipshape.stack.plugins.module_utils._context import Build
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

BASES = {"python:3.13": "sha256:1"}


@pytest.fixture
def build(tmp_path: Path) -> Build:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_text("print(1)\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "link").symlink_to("run.sh")
    (tmp_path / ".dockerignore").write_text("# not for the image\n\n/build\n**/__pycache__\n*.log\n!keep.log\n")
    (tmp_path / "Dockerfile").write_text("FROM python:3.13\nCOPY . .\n")
    return Build(context=str(tmp_path), dockerfile=str(tmp_path / "Dockerfile"), args={"VERSION": "1"})


def changed(build: Build, change: Callable[[Path], t.Any]) -> bool:
    before = _context.content_hash(build, BASES)
    change(Path(build.context))
    return _context.content_hash(build, BASES) != before


def relink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("app/main.py")


def make(name: str, content: str = "x") -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(make("app/main.py", "print(2)\n"), id="one byte"),
        pytest.param(make("app/new.py"), id="new file"),
        pytest.param(make("keep.log"), id="file excepted from .dockerignore"),
        pytest.param(lambda root: (root / "app/main.py").unlink(), id="file removed"),
        pytest.param(lambda root: (root / "app/main.py").rename(root / "app/other.py"), id="file renamed"),
        pytest.param(lambda root: (root / "run.sh").chmod(0o755), id="executable bit"),
        pytest.param(relink, id="target of a symbolic link"),
        pytest.param(make("Dockerfile", "FROM python:3.13\nCOPY app .\n"), id="Dockerfile"),
        pytest.param(make(".dockerignore", "*.log\n"), id=".dockerignore"),
    ],
)
def test_change_of_what_the_image_holds_changes_the_hash(build: Build, change: Callable[[Path], t.Any]) -> None:
    assert changed(build, change)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(make("debug.log"), id="ignored by suffix"),
        pytest.param(make("build/out.js"), id="ignored directory"),
        pytest.param(make("app/__pycache__/main.pyc"), id="ignored at any depth"),
        pytest.param(lambda root: os.utime(root / "app/main.py", (1, 1)), id="time"),
        pytest.param(lambda root: (root / "app/main.py").chmod(0o600), id="mode without executable bit"),
        pytest.param(lambda root: (root / "app/main.py").write_text("print(1)\n"), id="same content again"),
    ],
)
def test_change_of_what_the_image_does_not_hold_changes_nothing(build: Build, change: Callable[[Path], t.Any]) -> None:
    assert not changed(build, change)


@pytest.mark.parametrize(
    "other", [{"target": "production"}, {"args": {"VERSION": "2"}}, {"args": {"VERSION": "1", "DEBUG": ""}}]
)
def test_target_and_arguments_change_the_hash(build: Build, other: dict[str, t.Any]) -> None:
    assert _context.content_hash(replace(build, **other), BASES) != _context.content_hash(build, BASES)


def test_new_base_image_under_the_same_name_changes_the_hash(build: Build) -> None:
    assert _context.content_hash(build, {"python:3.13": "sha256:2"}) != _context.content_hash(build, BASES)


def test_same_content_elsewhere_has_the_same_hash(build: Build, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("copy") / "context"
    copy.symlink_to(build.context)
    elsewhere = replace(build, context=str(copy), dockerfile=str(copy / "Dockerfile"))
    assert _context.content_hash(elsewhere, BASES) == _context.content_hash(build, BASES)


def test_build_secret_does_not_change_the_hash(build: Build) -> None:
    with_secret = replace(build, secrets={"ca_bundle": "/etc/ssl/certs/ca-certificates.crt"})
    assert _context.content_hash(with_secret, BASES) == _context.content_hash(build, BASES)


def test_dockerfile_specific_ignore_file_wins(build: Build) -> None:
    Path(build.dockerfile + ".dockerignore").write_text("app\n")
    assert not changed(build, make("app/main.py", "print(3)\n"))
    assert changed(build, make("debug.log"))


def test_file_name_that_is_no_utf8_is_hashed(build: Build) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    assert changed(build, make(name))


def test_link_to_a_directory_is_a_link_and_is_not_followed(build: Build) -> None:
    assert changed(build, lambda root: (root / "loop").symlink_to("."))


def test_missing_context_is_named() -> None:
    with pytest.raises(StackError, match="build context /nowhere does not exist"):
        _context.dockerfile_text(Build("/nowhere", "/nowhere/Dockerfile"))


def test_missing_dockerfile_is_named(build: Build) -> None:
    with pytest.raises(StackError) as raised:
        _context.dockerfile_text(replace(build, dockerfile="/nowhere/Dockerfile"))
    assert "/nowhere/Dockerfile" in raised.value.cause
    assert raised.value.evidence and raised.value.fix


@pytest.mark.parametrize(
    ("dockerfile", "args", "bases"),
    [
        ("FROM debian:13\n", {}, ["debian:13"]),
        ("from debian:13 as build\nRUN x\nFROM nginx\nCOPY --from=build /a /a\n", {}, ["debian:13", "nginx"]),
        ("FROM debian AS a\nFROM a AS b\nFROM b\n", {}, ["debian"]),
        ("FROM debian AS Build\nFROM build\n", {}, ["debian"]),
        ("FROM scratch\nCOPY x /\n", {}, []),
        ("FROM a AS x\nFROM a\n", {}, ["a"]),
        ("ARG PY=3.13\nFROM python:${PY}\n", {}, ["python:3.13"]),
        ("ARG PY=3.13\nFROM python:$PY-slim\n", {"PY": "3.12"}, ["python:3.12-slim"]),
        ("ARG IMAGE\nFROM ${IMAGE}\n", {"IMAGE": "shipshape/python@sha256:ab"}, ["shipshape/python@sha256:ab"]),
        ('ARG IMAGE="python:3.13"\nFROM ${IMAGE}\n', {}, ["python:3.13"]),
        ("ARG NAME=python TAG=3.13\nFROM $NAME:$TAG\n", {}, ["python:3.13"]),
        ("ARG TAG\nFROM python:${TAG:-3.13}\n", {}, ["python:3.13"]),
        ("ARG TAG\nFROM python:${TAG:-3.13}\n", {"TAG": "3.12"}, ["python:3.12"]),
        ("ARG BASE=debian:13\nARG IMAGE=$BASE\nFROM $IMAGE\n", {}, ["debian:13"]),
        ("FROM --platform=$BUILDPLATFORM node:24 AS web\n", {}, ["node:24"]),
        ("# FROM nothing\n  FROM debian\n", {}, ["debian"]),
    ],
)
def test_base_images_are_found_as_buildkit_does(dockerfile: str, args: dict[str, str], bases: list[str]) -> None:
    assert _context.base_references(dockerfile, args) == bases


def test_build_of_a_service_is_read_from_compose() -> None:
    definition = {
        "build": {
            "context": "/src/app",
            "dockerfile": "deploy/Dockerfile",
            "target": "production",
            "args": {"A": "1", "B": None},
            "secrets": [{"source": "ca"}],
        }
    }
    secrets = {"ca": {"file": "/etc/ca.pem"}, "other": {"file": "/x"}}
    assert _context.from_service(definition, secrets) == Build(
        context="/src/app",
        dockerfile="/src/app/deploy/Dockerfile",
        target="production",
        args={"A": "1", "B": ""},
        secrets={"ca": "/etc/ca.pem"},
    )


def test_dockerfile_outside_the_context_is_taken_as_it_is() -> None:
    definition = {"build": {"context": "/src/app", "dockerfile": "/srv/shop/project/backend.Dockerfile"}}
    assert _context.from_service(definition, {}).dockerfile == "/srv/shop/project/backend.Dockerfile"
