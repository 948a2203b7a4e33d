# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of the progress: it is seen while the work is done, and changes nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import typing as t
import uuid
from pathlib import Path

import pytest
from hosts import docker
from modules import Project, module_play, newest_image, project
from playbook import playing

STEP = "  backend: [production 2/3] RUN --mount=type=secret,id=token"


@pytest.fixture
def blocked(tmp_path: Path) -> t.Iterator[Project]:
    """A service whose build waits, in its second step, until a test writes to the pipe `token`."""
    with project(tmp_path) as it:
        # The content makes each build a new one.
        dockerfile = f"FROM {newest_image('shipshape/nginx')} AS production\n"
        dockerfile += f"RUN --mount=type=secret,id=token : {uuid.uuid4().hex}\n"
        (tmp_path / "Dockerfile").write_text(dockerfile + "RUN echo what a step prints is not shown\n")
        (tmp_path / ".dockerignore").write_text("*\n")
        os.mkfifo(tmp_path / "token")
        build = {"context": ".", "secrets": ["token"]}
        it.declare({"backend": {"build": build}}, secrets={"token": {"file": "./token"}})
        yield it


def unblock(it: Project) -> None:
    """Let the build go on; waits until it has come so far."""
    (it.directory / "token").write_text("uQ7-vd2Lk0_pXz91")


def until(stream: t.IO[str] | None, start: str) -> list[str]:
    """Read up to the first line that starts so."""
    lines: list[str] = []
    for line in stream or ():
        lines.append(line.rstrip("\n"))
        if line.startswith(start):
            return lines
    pytest.fail(f"no line {start!r} in {lines}")


def build(it: Project) -> list[dict[str, t.Any]]:
    return [module_play("image_build", {"project_src": str(it.directory)})]


def module_of(it: Project) -> int:
    """Return the process that runs the build of a project: the parent of Docker's client."""
    listing = subprocess.run(["ps", "-wweo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines() if f"--tag {it.name}/backend:" in line]
    clients = {pid: parent for pid, parent, _arguments in rows}
    return next(int(parent) for parent in clients.values() if parent not in clients)


def progress_files() -> set[Path]:
    return set(Path("/tmp").glob("shipshape-" + "[0-9a-f]" * 32))


def test_steps_of_a_build_are_seen_before_it_ends(blocked: Project) -> None:
    others = progress_files()
    # Where skipped tasks are hidden, as here, Ansible names a task only with its result.
    with playing(build(blocked), environment={"ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}) as play:
        before = until(play.stderr, STEP)
        until(play.stdout, "TASK [Run image_build]")
        unblock(blocked)
        rest, error = play.communicate()
    lines = [*before, *error.splitlines()]
    assert play.returncode == 0
    assert "changed: [localhost]" in rest
    shown = [line for line in lines if line.startswith("  backend: ")]
    assert [line[11:27] for line in shown[:-1]] == [f"[production {step}/3]" for step in (1, 2, 3)]
    assert shown[-1].startswith("  backend: built in ")
    assert "uQ7-vd2Lk0_pXz91" not in "".join(lines)
    assert progress_files() <= others


def test_reader_of_json_is_not_disturbed(blocked: Project) -> None:
    with playing(build(blocked), environment={"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}) as play:
        until(play.stderr, STEP)
        unblock(blocked)
        output, error = play.communicate()
    result = json.loads(output)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    assert list(result["images"]) == ["backend"]
    assert "  backend: built in " in error


def test_killed_module_is_a_clear_failure_at_once(blocked: Project) -> None:
    others = progress_files()
    with playing(build(blocked), environment={"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}) as play:
        until(play.stderr, STEP)
        os.kill(module_of(blocked), signal.SIGKILL)
        killed = time.monotonic()
        output, _error = play.communicate()
        took = time.monotonic() - killed
        # The build itself is another process.
        unblock(blocked)
    result = json.loads(output)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    assert result["failed"]
    assert result["cause"] == "image_build was killed on the host before it could tell how it ended."
    assert result["evidence"].startswith(
        "Its process ended with SIGKILL.\nThe last it said was: backend: [production 2/3] RUN"
    )
    assert "journalctl" in result["fix"]
    # With the rest of the play.
    assert took < 4
    assert progress_files() <= others


def test_result_is_the_same_with_and_without(tmp_path: Path) -> None:
    with project(tmp_path) as it:
        (tmp_path / "Dockerfile").write_text(f"FROM {newest_image('shipshape/nginx')}\nLABEL run={it.name}\n")
        it.declare({"backend": {"build": {"context": "."}}})
        own = tmp_path.parent / f"{tmp_path.name}.progress"
        followed = it.run("image_build")
        docker("rmi", followed["images"]["backend"])
        plain = it.run("image_build", progress_file=str(own))
        assert own.read_text().splitlines()[-1].startswith("backend: built in ")
        assert shape(followed) == shape(plain)
        assert followed["built"].keys() == plain["built"].keys()
        assert shape(it.run("image_build")) == shape(it.run("image_build", progress_file=str(own)))
        (tmp_path / "Dockerfile").write_text("FROM scratch\nRUN false\n")
        followed = it.run("image_build")
        plain = it.run("image_build", progress_file=str(own))
        assert followed["failed"]
        assert shape(followed) == shape(plain)


def shape(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what two runs of the same module have in common."""
    same = {key: value for key, value in result.items() if key not in ("built", "evidence", "msg", "exception")}
    return {**same, "keys": sorted(result)}


def test_check_mode_says_nothing_and_works(blocked: Project) -> None:
    with playing(build(blocked), "--check") as play:
        output, error = play.communicate()
    assert play.returncode == 0
    assert "changed: [localhost]" in output
    assert "backend: " not in error
