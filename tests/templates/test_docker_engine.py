# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The apt source of a newer suite, for hosts with mirrors of several kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from rendering import render_newer_suite

DEBIAN = {
    "Types": "deb",
    "URIs": "http://deb.debian.org/debian/",
    "Suites": "trixie",
    "Components": "main",
    "Signed-By": "/usr/share/keyrings/debian-archive-keyring.gpg",
}
SECURITY = DEBIAN | {"URIs": "http://deb.debian.org/debian-security/", "Suites": "trixie-security"}
MIRRORS = [f"Debian {DEBIAN['URIs']}", f"Debian-Security {SECURITY['URIs']}"]


def stanzas(text: str) -> list[dict[str, str]]:
    """Return the stanzas of a deb822 file."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    blocks = [block.splitlines() for block in "\n".join(lines).strip().split("\n\n")]
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


@pytest.mark.parametrize(
    ("mirrors", "expected"),
    [
        (MIRRORS, [DEBIAN, SECURITY]),
        (MIRRORS[:1], [DEBIAN]),
        ([*MIRRORS, *MIRRORS, "Debian http://second.example.com/debian/", "Docker https://x/"], [DEBIAN, SECURITY]),
        (["Debian file:/srv/mirror/"], [DEBIAN | {"URIs": "file:/srv/mirror/"}]),
    ],
)
def test_source_names_each_mirror_of_the_host_once(
    tmp_path: Path, mirrors: list[str], expected: list[dict[str, str]]
) -> None:
    assert stanzas(render_newer_suite(tmp_path, mirrors)) == expected


def test_expired_mirror_is_accepted_only_when_asked_for(tmp_path: Path) -> None:
    variables = {"docker_engine_newer_suite": "forky", "docker_engine_newer_suite_check_valid_until": False}
    first, second = stanzas(render_newer_suite(tmp_path, MIRRORS, **variables))
    assert first == DEBIAN | {"Suites": "forky", "Check-Valid-Until": "no"}
    assert second == SECURITY | {"Suites": "forky-security", "Check-Valid-Until": "no"}
