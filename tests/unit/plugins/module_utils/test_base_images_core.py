# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which base image a host uses, under which name, and what an error of a registry or a build means."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _base_images as core

DIGEST = "sha256:" + "1f" * 32
DEBIAN = core.Distribution(
    suite="trixie",
    mirror="http://deb.example.com/debian",
    security_mirror="http://deb.example.com/debian-security",
    nginx_suite="testing",
    nginx_check_valid_until=True,
    npm_registry="https://npm.example.com/",
    serial="1",
)
RECIPES = {
    "base": {"packages": "ca-certificates\npasswd\n"},
    "redis": {"Dockerfile": "FROM scratch\n", "entrypoint.sh": "exec redis-server\n"},
    "nginx": {"Dockerfile": "FROM scratch\n"},
}
# Written by Docker 28.2.2: `docker image ls --digests --format json`, shortened to what counts.
LISTING = f"""\
{{"Digest":"\\u003cnone\\u003e","ID":"f677764de473","Repository":"shipshape/nginx","Tag":"trixie-e59106d2fe10"}}
{{"Digest":"{DIGEST}","ID":"eeb89acf789c","Repository":"postgres","Tag":"17"}}
{{"Digest":"{DIGEST}","ID":"c82778d0bef2","Repository":"127.0.0.1:5000/team/redis","Tag":"8"}}
{{"Digest":"\\u003cnone\\u003e","ID":"afac4896767e","Repository":"node","Tag":"22-slim"}}
"""
PRESENT = core.local_images(LISTING)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("docker.io/library/postgres:17", core.LocalImage("postgres", "17", "")),
        ("postgres", core.LocalImage("postgres", "latest", "")),
        ("docker.io/team/app:1", core.LocalImage("team/app", "1", "")),
        ("127.0.0.1:5000/redis", core.LocalImage("127.0.0.1:5000/redis", "latest", "")),
        (f"registry.example.com/redis@{DIGEST}", core.LocalImage("registry.example.com/redis", "", DIGEST)),
        (f"redis:8@{DIGEST}", core.LocalImage("redis", "8", DIGEST)),
    ],
)
def test_a_reference_is_split_as_the_engine_lists_it(reference: str, expected: core.LocalImage) -> None:
    assert core.familiar(reference) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("docker.io/library/postgres:17", f"postgres@{DIGEST}"),
        (f"postgres@{DIGEST}", f"postgres@{DIGEST}"),
        ("127.0.0.1:5000/team/redis:8", f"127.0.0.1:5000/team/redis@{DIGEST}"),
        ("docker.io/library/postgres:16", None),
        (f"postgres@sha256:{'00' * 32}", None),
    ],
)
def test_a_pulled_image_is_used_by_its_digest(reference: str, expected: str | None) -> None:
    assert core.pinned(reference, PRESENT) == expected


def test_an_image_without_a_digest_was_not_pulled() -> None:
    assert core.pinned("docker.io/library/node:22-slim", PRESENT) is None


def test_tags_are_the_same_for_the_same_content_and_name_the_suite() -> None:
    tags = core.distro_tags(DEBIAN, RECIPES)
    assert tags == core.distro_tags(DEBIAN, RECIPES)
    assert all(tag.startswith(f"shipshape/{name}:trixie-") for name, tag in tags.items())
    assert len(core.recipe_hash(tags["redis"])) == core.TAG_LENGTH


@pytest.mark.parametrize("option", ["mirror", "security_mirror", "npm_registry"])
def test_another_way_to_the_same_packages_keeps_the_tags(option: str) -> None:
    other = dataclasses.replace(DEBIAN, **{option: "http://mirror.example.net"})
    assert core.distro_tags(other, RECIPES) == core.distro_tags(DEBIAN, RECIPES)


def test_a_new_serial_or_base_changes_every_tag() -> None:
    before = core.distro_tags(DEBIAN, RECIPES)
    later = core.distro_tags(dataclasses.replace(DEBIAN, serial="2026-11"), RECIPES)
    larger = core.distro_tags(DEBIAN, {**RECIPES, "base": {"packages": "curl\n"}})
    for name in RECIPES:
        assert len({before[name], later[name], larger[name]}) == 3


def test_a_changed_recipe_changes_only_its_own_tag() -> None:
    before = core.distro_tags(DEBIAN, RECIPES)
    after = core.distro_tags(DEBIAN, {**RECIPES, "redis": {"Dockerfile": "FROM scratch\nUSER 999\n"}})
    assert {name for name in RECIPES if before[name] != after[name]} == {"redis"}


def test_the_suite_of_nginx_concerns_nginx_only() -> None:
    before = core.distro_tags(DEBIAN, RECIPES)
    after = core.distro_tags(dataclasses.replace(DEBIAN, nginx_suite="forky"), RECIPES)
    assert {name for name in RECIPES if before[name] != after[name]} == {"nginx"}


def test_a_host_stays_with_the_distribution_after_a_recipe_changed() -> None:
    assert core.source_in_use(["nginx", "postgres"], core.REGISTRY_IMAGES, PRESENT) == "distro"


def test_a_host_stays_with_the_registry_when_all_is_pulled() -> None:
    assert core.source_in_use(["postgres"], core.REGISTRY_IMAGES, PRESENT) == "registry"


def test_a_host_with_some_pulled_images_has_not_settled() -> None:
    assert core.source_in_use(["postgres", "redis"], core.REGISTRY_IMAGES, PRESENT) == ""


def test_security_updates_are_a_source_of_the_base() -> None:
    assert core.apt_sources(DEBIAN).splitlines() == [
        "deb http://deb.example.com/debian trixie main",
        "deb http://deb.example.com/debian trixie-updates main",
        "deb http://deb.example.com/debian-security trixie-security main",
    ]
    assert "security" not in core.apt_sources(dataclasses.replace(DEBIAN, security_mirror=""))


def test_only_a_frozen_mirror_skips_the_age_check() -> None:
    strict = core.build_arguments("nginx", DEBIAN, "base", "0")
    frozen = core.build_arguments("nginx", dataclasses.replace(DEBIAN, nginx_check_valid_until=False), "base", "0")
    assert strict["NGINX_SOURCE"] == "deb http://deb.example.com/debian testing main"
    assert frozen["NGINX_SOURCE"] == "deb [check-valid-until=no] http://deb.example.com/debian testing main"


# Said by Engine 26.1.5.
@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ('Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host', "reached"),
        ('Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', "reached"),
        ("net/http: request canceled while waiting for connection (Client.Timeout exceeded)", "reached"),
        ("pull access denied for shop/postgres, repository does not exist or may require 'docker login'", "refused"),
        ("manifest for 127.0.0.1:5000/redis:99 not found: manifest unknown", "refused"),
        ("toomanyrequests: You have reached your pull rate limit.", "refused"),
    ],
)
def test_an_absent_registry_and_a_refusal_are_told_apart(message: str, cause: str) -> None:
    error = core.pull_error("docker.io/library/postgres:17", message)
    assert cause in error.cause
    assert "docker.io" in error.cause
    assert error.evidence == message
    assert error.fix


def test_the_registry_is_named_also_when_the_reference_leaves_it_out() -> None:
    assert "registry docker.io " in core.pull_error("team/postgres:17", "denied").cause
    assert "registry localhost:5000 " in core.pull_error("localhost:5000/postgres:17", "denied").cause


@pytest.mark.parametrize(
    ("log", "fix"),
    [
        ("E: Release file for http://deb.example.com is expired (invalid since 12d).", "nginx_check_valid_until"),
        ("E: Failed to fetch http://deb.example.com/x.deb", "base_images_mirror"),
        ("The following signatures couldn't be verified: NO_PUBKEY 6ED0E7B82643E131", "debian-archive-keyring"),
        ("dpkg: error processing package", "the build's own words"),
    ],
)
def test_a_failed_build_says_what_to_do(log: str, fix: str) -> None:
    error = core.build_error("nginx", log)
    assert "nginx" in error.cause
    assert fix in error.fix
