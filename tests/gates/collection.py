# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the gates find the collection and the lines of ansible-core; how they run a tool."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Core:
    """A Python environment with one line of ansible-core."""

    bin: Path
    version: str
    python: str

    @property
    def environment(self) -> dict[str, str]:
        """Return an environment where the programs of this core come first, without the settings of the checkout."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        inherited = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
        return inherited | {"PATH": path, "ANSIBLE_NOCOLOR": "true", "NO_COLOR": "1"}

    def run(self, *argv: str, cwd: Path = REPOSITORY, **environment: str) -> Finished:
        """Run a program of this core to its end."""
        done = subprocess.run(
            [str(self.bin / argv[0]), *argv[1:]],
            cwd=cwd,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Finished(" ".join(argv), done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Finished:
    """What a program left behind."""

    command: str
    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Return both streams."""
        return f"{self.stdout}\n{self.stderr}"

    def refuse(self, why: str) -> t.NoReturn:
        """Fail the gate with the whole output."""
        pytest.fail(f"{self.command}: {why}\n{self.output.strip()}", pytrace=False)


def cores() -> list[Core]:
    """Return the environments that `./run gates` made, the oldest ansible-core first."""
    named = os.environ.get("GATES_ENVIRONMENTS")
    if not named:
        raise pytest.UsageError("The gates need two Python environments. Fix: start them with ./run gates.")
    return [_core(Path(environment) / "bin") for environment in named.split(os.pathsep)]


def _core(binaries: Path) -> Core:
    code = "import sys, ansible.release as r; print(r.__version__, '{0}.{1}'.format(*sys.version_info))"
    argv = [str(binaries / "python"), "-c", code]
    version, python = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    return Core(binaries, version, python)


def known_to_git() -> list[str]:
    """Return the files that are in Git or would be with `git add --all`, relative to the repository."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return sorted({name for name in listed.split("\0") if name and os.path.lexists(REPOSITORY / name)})


def stage(parent: Path) -> Path:
    """Copy what Git knows to where a collection belongs below ``parent``; ansible-test refuses any other place."""
    root = parent / "ansible_collections/shipshape/stack"
    for name in known_to_git():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target, follow_symlinks=False)
    # ansible-test and antsibull-docs ask Git which files count.
    subprocess.run(["git", "init", "--quiet"], cwd=root, capture_output=True, check=True)
    return root
