# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says: whole lines, from any thread, and never at the expense of its work."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _build, _compose
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._progress import Progress


def test_lines_are_written_at_once_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    progress = Progress(str(file))
    progress.say("backend: \x1b[1;31mstarting\x1b[0m\x07\n\nfor 4 s\r\n")
    assert file.read_text() == "backend: starting\nfor 4 s\n"
    progress.say("größer \udcff")
    assert file.read_text().splitlines()[-1] == "größer ?"
    assert file.stat().st_mode & 0o777 == 0o600


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    progress = Progress(str(file))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: progress.say(f"{number} " * 500), range(200)))
    assert sorted({len(set(line.split())) for line in file.read_text().splitlines()}) == [1]


def test_nothing_is_said_where_it_cannot_be(tmp_path: Path) -> None:
    Progress(None).say("x")
    Progress(str(tmp_path / "missing/progress")).say("x")
    Progress(str(tmp_path)).say("x")
    Progress("/dev/full").say("x")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_file_with_another_name_is_not_touched(tmp_path: Path, link: object) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    assert callable(link)
    link(target, tmp_path / "progress")
    Progress(str(tmp_path / "progress")).say("x")
    assert target.read_text() == "precious"


def test_each_step_of_a_build_is_said_once() -> None:
    said: list[str] = []
    heard = _build.steps(said.append)
    for line in [
        '#0 building with "default" instance using docker driver',
        "#1 [internal] load build definition from Dockerfile",
        "#5 [build 1/2] FROM docker.io/library/debian",
        "#6 [build 2/2] RUN uv sync",
        "#6 0.312 [1/2] not a step, but what one printed",
        "#7 [frontend 2/2] RUN pnpm build",
        "#6 [build 2/2] RUN uv sync",
        "#6 DONE 3.1s",
        f"#8 [x 1/1] RUN {'y' * 300}",
        "",
    ]:
        heard(line)
    assert said[:-1] == [
        "[build 1/2] FROM docker.io/library/debian",
        "[build 2/2] RUN uv sync",
        "[frontend 2/2] RUN pnpm build",
    ]
    assert len(said[-1]) == 120


def test_command_is_heard_and_its_streams_are_kept_apart() -> None:
    heard: list[str] = []
    done = _compose.run_aloud(["sh", "-c", "echo out; echo err >&2; exit 3"], heard.append)
    assert sorted(heard) == ["err", "out"]
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


@pytest.mark.parametrize(
    "script", ["echo seen >&2; exec sleep 600", "echo seen >&2; sleep 3 &", "exec >&- 2>&-; sleep 600"]
)
def test_command_that_does_not_end_in_time_is_a_failure_that_shows_what_it_wrote(script: str) -> None:
    with pytest.raises(StackError) as error:
        _compose.run_aloud(["sh", "-c", script], lambda line: None, timeout=0.5)
    assert "did not end within 0.5 s" in error.value.cause
    assert error.value.evidence == ("seen" if "seen" in script else "")


def test_missing_program_is_named() -> None:
    with pytest.raises(StackError, match="'no-such-program' was not found"):
        _compose.run_aloud(["no-such-program"], print, cwd=str(Path(sys.prefix)))
