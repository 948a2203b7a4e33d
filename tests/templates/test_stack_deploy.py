# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy makes of its variables."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from declarations import FULL
from rendering import chosen_services


@pytest.mark.parametrize(
    ("given", "services"),
    [
        ("frontend", ["frontend"]),
        (["frontend"], ["frontend"]),
        (" frontend , ", ["frontend"]),
        ("backend,worker", ["backend", "worker"]),
        ("worker, backend,worker", ["worker", "backend"]),
        (["backend", "worker"], ["backend", "worker"]),
        ("", []),
        ([], []),
    ],
)
def test_services_to_deploy_are_understood_in_every_spelling(tmp_path: Path, given: t.Any, services: list[str]) -> None:
    only, _migrates = chosen_services(FULL, tmp_path, given)
    assert only == services


@pytest.mark.parametrize(
    ("given", "migrates"),
    [("", True), ("backend", True), ("worker", True), ("frontend,backend", True), ("db,redis,frontend", False)],
)
def test_database_is_migrated_with_the_code_that_needs_it(tmp_path: Path, given: str, *, migrates: bool) -> None:
    assert chosen_services(FULL, tmp_path, given)[1] is migrates
