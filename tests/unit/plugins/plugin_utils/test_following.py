# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that waits for lines, run by a real shell, and the thread that runs it."""

from __future__ import annotations

import subprocess
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.plugin_utils import _following


def execute(text: str) -> str:
    return subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout


def ask(file: Path, at: int, looks: int = 1) -> _following.Reply:
    return _following.parse(execute(_following.command(str(file), at, looks)), at)


def test_only_new_and_whole_lines_are_returned(tmp_path: Path) -> None:
    file = tmp_path / "pro gress"
    assert ask(file, 0) == _following.Reply((), 0, False)
    file.write_text("eins\nzwölf\n\x85 is no line\nhal")
    first = ask(file, 0)
    assert first.lines == ("eins", "zwölf", "\x85 is no line")
    with file.open("a") as more:
        more.write("b\n")
    assert ask(file, first.at) == _following.Reply(("halb",), file.stat().st_size, False)


def test_last_look_removes_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    file.write_text("a\n")
    (tmp_path / "progress.over").mkdir()
    assert ask(file, 0, looks=50) == _following.Reply(("a",), 2, True)
    assert list(tmp_path.iterdir()) == []
    assert ask(file, 2, looks=0) == _following.Reply((), 2, True)


def test_file_behind_a_link_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "progress").symlink_to(tmp_path / "secret")
    assert ask(tmp_path / "progress", 0).lines == ()


def test_output_of_a_terminal_and_of_a_profile_is_understood() -> None:
    output = "Welcome\r\nshipshape-progress 4 0\r\na\r\nb\r\nConnection closed\r\n"
    assert _following.parse(output, 0) == _following.Reply(("a", "b"), 4, False)


@pytest.mark.parametrize("output", ["", "sudo: a password is required", "shipshape-progress x 0"])
def test_any_other_output_is_refused(output: str) -> None:
    with pytest.raises(ValueError):
        _following.parse(output, 0)


def test_end_interrupts_a_command_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_following, "GRACE", 0)
    file = tmp_path / "progress"
    file.write_text("first\n")
    shown, seen = [], threading.Event()

    def show(line: str) -> None:
        shown.append(line)
        seen.set()

    follower = _following.Follower(str(file), execute, show)
    follower.start()
    assert seen.wait(10)
    with file.open("a") as more:
        more.write("last\n")
    follower.end(execute)
    assert shown == ["first", "last"]
    assert list(tmp_path.iterdir()) == []


def test_host_that_answers_nothing_does_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_following, "GRACE", 0)
    asked = threading.Event()

    def broken(text: str) -> t.NoReturn:
        asked.set()
        raise OSError(text)

    follower = _following.Follower("/tmp/none", broken, print)
    follower.start()
    assert asked.wait(10)
    follower.end(broken)


def test_host_is_named_only_where_there_are_several() -> None:
    assert _following.label({"inventory_hostname": "a", "ansible_play_hosts_all": ["a"]}) == "  "
    assert _following.label({"inventory_hostname": "a", "ansible_play_hosts_all": ["a", "b"]}) == "  [a] "
