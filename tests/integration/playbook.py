# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook as a user would and read its outcome."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL: dict[str, t.Any] = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}


@dataclass(frozen=True)
class Outcome:
    """Exit code, console output and the per-host counters of one ansible-playbook run."""

    returncode: int
    output: str

    def counter(self, name: str) -> int:
        """Return e.g. ``changed`` summed over the hosts of the PLAY RECAP."""
        recap = self.output.rsplit("PLAY RECAP", 1)[-1]
        return sum(int(word.split("=")[1]) for word in recap.split() if word.startswith(f"{name}="))


def run_playbook(
    playbook: Path, inventory: Path, *, options: t.Sequence[str] = (), extra_vars: dict[str, t.Any] | None = None
) -> Outcome:
    """Run a playbook file on an inventory."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as variables:
        json.dump(extra_vars or {}, variables)
        variables.flush()
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(playbook)]
        command += ["-e", f"@{variables.name}", *options]
        environment = os.environ | {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    print(done.stdout)
    return Outcome(done.returncode, done.stdout)


def run_play(
    play: list[dict[str, t.Any]] | Path,
    *,
    hosts: dict[str, dict[str, t.Any]] | None = None,
    extra_vars: dict[str, t.Any] | None = None,
    options: t.Sequence[str] = (),
) -> Outcome:
    """Run ``play`` (a list of plays, or a playbook file) on ``hosts`` (name -> connection variables; default: here)."""
    with tempfile.TemporaryDirectory(prefix="play-") as scratch:
        inventory = Path(scratch, "inventory.json")
        inventory.write_text(json.dumps({"all": {"hosts": hosts or {"localhost": LOCAL}}}))
        if isinstance(play, Path):
            return run_playbook(play, inventory, options=options, extra_vars=extra_vars)
        playbook = Path(scratch, "play.json")
        playbook.write_text(json.dumps(play))
        return run_playbook(playbook, inventory, options=options, extra_vars=extra_vars)


@contextlib.contextmanager
def playing(
    play: list[dict[str, t.Any]], *options: str, environment: dict[str, str] | None = None
) -> t.Iterator[subprocess.Popen[str]]:
    """Start ``play`` on this machine, with a pipe for each of its outputs; end it at last."""
    with tempfile.TemporaryDirectory(prefix="play-") as scratch:
        inventory, playbook = Path(scratch, "inventory.json"), Path(scratch, "play.json")
        inventory.write_text(json.dumps({"all": {"hosts": {"localhost": LOCAL}}}))
        playbook.write_text(json.dumps(play))
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(inventory),
            str(playbook),
            *options,
        ]
        settings = {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        # Who waits for a line that never comes sees the end of the outputs.
        settings |= {"ANSIBLE_TASK_TIMEOUT": "60", **(environment or {})}
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | settings,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                yield process
            finally:
                process.terminate()
