# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and modules that are measured, each in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RUN_MODULE = Path(__file__).with_name("run_module.py")


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, what it printed, the seconds it took."""

    code: int
    output: str
    seconds: float


def say(text: str) -> None:
    """Print progress at once."""
    print(f"-- {text}", flush=True)


def command(argv: t.Sequence[str], *, stdin: str = "", env: t.Mapping[str, str] | None = None) -> Done:
    """Run a command."""
    started = time.monotonic()
    done = subprocess.run(argv, input=stdin, env=env, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout + done.stderr, time.monotonic() - started)


def run(argv: t.Sequence[str]) -> str:
    """Run a command and return what it printed; end the benchmark if it fails."""
    done = command(argv)
    if done.code:
        sys.exit(f"{' '.join(argv[:6])} … failed:\n{done.output[-5000:]}")
    return done.output


def module(name: str, arguments: t.Mapping[str, t.Any]) -> Done:
    """Run a module as Ansible does on a host, without Ansible's own start; failed as Ansible calls it."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / ".cache" / "collections")}
    done = command([sys.executable, str(RUN_MODULE), name], stdin=json.dumps(arguments), env=env)
    # A module may say `failed` and exit with 0.
    results = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    return dataclasses.replace(done, code=1) if any(result.get("failed") for result in results) else done


def newest_image(repository: str) -> str:
    """Return the newest image of a repository that is on this machine."""
    found = run(["docker", "images", repository, "--format", "{{.Repository}}:{{.Tag}}"]).splitlines()
    if not found:
        sys.exit(f"No image of {repository} is here.\nFix: ./run demo, which builds it.")
    return found[0]
