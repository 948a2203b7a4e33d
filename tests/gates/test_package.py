# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ansible-galaxy collection build` makes holds the collection and no more, and Galaxy's importer accepts it."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.tests.gates.collection import REPOSITORY, cores, known_to_git

CORE = cores()[-1]
# What no user of the collection needs; the rest of the repository is in.
LEFT_OUT = {".ci", "galaxy.yml"}
# Pattern of a warning of the importer that is accepted -> why.
ACCEPTED: dict[str, str] = {}


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the collection from the checkout as it is, with all that lies around in it."""
    target = tmp_path_factory.mktemp("tarball")
    done = CORE.run("ansible-galaxy", "collection", "build", "--output-path", str(target))
    if done.returncode != 0 or "[WARNING]" in done.output:
        done.refuse("failed or warned")
    [built] = target.glob("*.tar.gz")
    return built


def test_tarball_holds_the_collection_and_nothing_that_lies_around(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        packed = {member.name for member in archive.getmembers() if not member.isdir()}
    wanted = {name for name in known_to_git() if name.split("/")[0] not in LEFT_OUT}
    assert sorted(packed - wanted - {"MANIFEST.json", "FILES.json"}) == []
    assert sorted(wanted - packed) == []


def test_galaxy_importer_has_nothing_to_say(tarball: Path, tmp_path: Path) -> None:
    done = CORE.run(
        "python",
        "-m",
        "galaxy_importer.main",
        str(tarball),
        cwd=tmp_path,
        GALAXY_IMPORTER_CONFIG=str(REPOSITORY / "tests/gates/galaxy-importer.cfg"),
        GALAXY_IMPORTER_ANSIBLE_LOCAL_TMP=str(tmp_path / "ansible"),
    )
    if done.returncode != 0 or "Importer processing completed successfully" not in done.stdout:
        done.refuse("did not accept the collection")
    for step in ("Getting doc strings via ansible-doc", "via flake8...", "...ansible-lint run complete"):
        if step not in done.stdout:
            done.refuse(f"did not say {step!r}: a check of it did not run")
    said = [line for line in done.output.splitlines() if re.match(r"(WARNING|ERROR|CRITICAL)\b", line)]
    new = [line for line in said if not any(re.search(pattern, line) for pattern in ACCEPTED)]
    if new or done.stderr.strip():
        done.refuse("\n".join(["has something to say:", *new]))
    unused = [pattern for pattern in ACCEPTED if not any(re.search(pattern, line) for line in said)]
    assert not unused
