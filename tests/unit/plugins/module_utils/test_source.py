# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of a monorepo install, read from the files that state it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils._source import (
    Part,
    SourceError,
    node_part,
    python_part,
)


def part(inspect: t.Callable[[Path], Part], root: Path, files: dict[str, str]) -> Part:
    """Write ``files`` into ``root`` and inspect it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return inspect(root)


def test_included_requirements_are_copied_in_their_folders(tmp_path: Path) -> None:
    found = part(
        python_part,
        tmp_path,
        {
            "requirements.txt": "-r requirements/base.txt  # shared\n--constraint=constraints.txt\nfastapi\n",
            "requirements/base.txt": "-c ../constraints.txt\nuvicorn\n",
            "requirements/dev.txt": "-r base.txt\npytest\n",
            "constraints.txt": "uvicorn<1\n",
        },
    )
    assert found.manager == "pip"
    assert found.manifest == "requirements.txt"
    assert found.dev == "-r requirements/dev.txt"
    assert {folder: set(files) for folder, files in found.manifests.items()} == {
        "./": {"requirements.txt", "constraints.txt"},
        "./requirements/": {"requirements/base.txt", "requirements/dev.txt"},
    }


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("-e .", "`-e .`"),
        ("./libraries/shared", "./libraries/shared"),
        ("-r missing.txt", "missing.txt"),
        ("-r ../requirements.txt", "../requirements.txt"),
    ],
)
def test_requirements_that_reach_beyond_the_packages_are_refused(tmp_path: Path, line: str, named: str) -> None:
    (tmp_path / "requirements.txt").touch()
    with pytest.raises(SourceError, match=r"requirements\.txt") as error:
        part(python_part, tmp_path / "backend", {"requirements.txt": f"fastapi\n{line}\n"})
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("text", "dev"),
    [
        ('[dependency-groups]\ndev = ["pytest"]\n', "--group dev"),
        ('[project.optional-dependencies]\ntest = ["pytest"]\n', "-r pyproject.toml --extra test"),
        ("[project]\n", ""),
    ],
)
def test_development_dependencies_of_a_bare_pyproject_are_found(tmp_path: Path, text: str, dev: str) -> None:
    found = part(python_part, tmp_path, {"pyproject.toml": text})
    assert (found.manager, found.manifest, found.dev) == ("pip", "pyproject.toml", dev)


def test_broken_pyproject_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"readable pyproject\.toml"):
        part(python_part, tmp_path, {"pyproject.toml": "[project\n"})


def test_settings_and_patches_are_there_before_the_frontend_installs(tmp_path: Path) -> None:
    found = part(
        node_part,
        tmp_path,
        {
            "package.json": "{}",
            "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
            "pnpm-workspace.yaml": "",
            ".npmrc": "",
            "patches/vite.patch": "",
            ".dockerignore": "private\n",
        },
    )
    assert found.manifests == {
        "./": ["package.json", "pnpm-lock.yaml", ".npmrc", "pnpm-workspace.yaml"],
        "./patches/": ["patches/vite.patch"],
    }
    assert found.ignore == "private\n"


@pytest.mark.parametrize(("version", "tool"), [("'9.0'", "pnpm@10"), ("'6.0'", "pnpm@8"), ("5.4", "pnpm@7")])
def test_pnpm_is_one_that_reads_the_lock_file(tmp_path: Path, version: str, tool: str) -> None:
    files = {"package.json": "{}", "pnpm-lock.yaml": f"lockfileVersion: {version}\n"}
    assert part(node_part, tmp_path, files).tool == tool


def test_lock_file_of_yarn_2_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Yarn 2"):
        part(node_part, tmp_path, {"package.json": "{}", "yarn.lock": "__metadata:\n  version: 8\n"})


@pytest.mark.parametrize("package", ["{", "[]"])
def test_unreadable_package_json_is_named(tmp_path: Path, package: str) -> None:
    with pytest.raises(SourceError, match=r"readable package\.json"):
        part(node_part, tmp_path, {"package.json": package, "package-lock.json": "{}"})
