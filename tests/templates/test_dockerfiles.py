# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Dockerfile of the collection, rendered or not, as hadolint sees it."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

from declarations import DECLARATIONS, Declaration
from rendering import REPOSITORY, Rendered

RECIPES = REPOSITORY / "roles/base_images/files"


def complaints(files: t.Iterable[Path]) -> str:
    """Return what hadolint says; it cannot read a file that is no Dockerfile either."""
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [str(hadolint), "--no-color", "--config", str(REPOSITORY / ".hadolint.yaml"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_rendered_dockerfiles_are_clean(render: t.Callable[[Declaration], Rendered], tmp_path: Path) -> None:
    written: dict[str, Path] = {}
    for declaration in DECLARATIONS:
        for name, text in render(declaration).dockerfiles.items():
            file = written.setdefault(text, tmp_path / f"{declaration.name.replace('/', ' ')} {name}")
            file.write_text(text, encoding="utf-8")
    assert len(written) >= 10
    assert complaints(written.values()) == ""


def test_recipes_of_the_base_images_are_clean() -> None:
    recipes = sorted(RECIPES.glob("*/Dockerfile"))
    assert len(recipes) == 5
    assert complaints(recipes) == ""


def test_fault_is_complained_about(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM debian:latest\nRUN cd /tmp && ls $X\n")
    said = complaints([file])
    assert [rule for rule in ("DL3007", "DL3003", "SC2086") if rule not in said] == []
