# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records on disk: whole or not there at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import typing as t
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _release
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import Broken, Release

UID, GID = os.getuid(), os.getgid()
HOLDER = """
import sys, time
from pathlib import Path
from ansible_collections.shipshape.stack.plugins.module_utils import _release
with _release.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "releases").mkdir()
    return tmp_path


def a_release(number: int, outcome: str = "deployed") -> Release:
    return Release(
        id=f"2026010{number}T000000Z-{number}000000000",
        content_hash=str(number) * 64,
        created=f"2026-01-0{number}T00:00:00Z",
        created_by="shop",
        images={"backend": f"shop/backend:{number}"},
        outcome=outcome,
    )


def a_record(**changes: t.Any) -> str:
    return json.dumps(asdict(a_release(1)) | changes)


def stage(root: Path, number: int) -> Release:
    release = a_release(number)
    _release.stage(root, release, {"compose.yaml": f"# {number}\n", "nginx/conf.d/site.conf": ""}, uid=UID, gid=GID)
    return release


def test_staged_release_is_whole_and_reads_back(root: Path) -> None:
    release = stage(root, 1)
    directory = root / "releases" / release.id
    assert _release.read(directory) == release
    assert (directory / "compose.yaml").read_text() == "# 1\n"
    assert (directory / "nginx/conf.d/site.conf").exists()
    assert (directory / "nginx/conf.d").stat().st_mode & 0o777 == 0o750
    assert (directory / "compose.yaml").stat().st_mode & 0o777 == 0o640


def test_release_that_cannot_be_written_leaves_nothing_behind(root: Path) -> None:
    with pytest.raises(OSError):
        _release.stage(root, a_release(1), {"a": "", "a/b": ""}, uid=UID, gid=GID)
    assert list((root / "releases").iterdir()) == []


def test_release_is_never_seen_half_written(root: Path) -> None:
    seen: list[set[str]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.extend(
                {item.name for item in path.iterdir()}
                for path in (root / "releases").iterdir()
                if not path.name.startswith(".")
            )

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(1, 9):
        stage(root, number)
    done.set()
    watcher.join()
    assert all(names == {"compose.yaml", "nginx", "release.json"} for names in seen)


def test_current_follows_activation_and_moves_once(root: Path) -> None:
    assert _release.current(root) is None
    first, second = stage(root, 1), stage(root, 2)
    assert _release.activate(root, first.id)
    assert not _release.activate(root, first.id)
    assert _release.current(root) == first
    assert _release.activate(root, second.id)
    assert _release.current(root) == second
    assert (root / "current").readlink() == Path("releases", second.id)


def test_current_is_there_at_every_moment_of_a_switch(root: Path) -> None:
    releases = [stage(root, 1), stage(root, 2)]
    _release.activate(root, releases[0].id)
    gone, done = [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            if not (root / "current").is_dir():
                gone.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for turn in range(500):
        _release.activate(root, releases[turn % 2].id)
    done.set()
    watcher.join()
    assert gone == []


def test_leftover_of_a_killed_switch_is_not_in_the_way(root: Path) -> None:
    (root / ".current.new").symlink_to("releases/nowhere")
    assert _release.activate(root, stage(root, 1).id)
    assert _release.current(root) == a_release(1)


def test_current_that_points_nowhere_is_no_release(root: Path) -> None:
    (root / "current").symlink_to("releases/gone")
    assert _release.current(root) is None


def test_releases_are_listed_newest_first(root: Path) -> None:
    for number in (2, 1, 3):
        stage(root, number)
    assert [release.id[7] for release in _release.listed(root)] == ["3", "2", "1"]


def test_leftover_of_a_killed_staging_is_no_release(root: Path) -> None:
    stage(root, 1)
    leftover = root / "releases/.staging-abc"
    leftover.mkdir()
    (leftover / "release.json").write_text((root / "releases" / a_release(1).id / "release.json").read_text())
    assert len(_release.entries(root)) == 1


def test_record_changes_the_outcome_once(root: Path) -> None:
    failed = replace(stage(root, 1), outcome="failed")
    assert _release.record(root, failed)
    assert not _release.record(root, failed)
    assert _release.read(root / "releases" / failed.id).outcome == "failed"


BROKEN = {
    "empty": "",
    "cut off": "{",
    "a list": "[]",
    "fields missing": '{"id": "x"}',
    "of another release": a_record(id="20260109T000000Z-9000000000"),
    "images are no map": a_record(images=["shop/backend:1"]),
    "an image is no text": a_record(images={"backend": None}),
    "a revision that is no text": a_record(revision=3),
    "no time": a_record(created="yesterday"),
    "deployed at no time": a_record(deployed="2026-13-01T00:00:00Z"),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_record_names_its_directory(root: Path, content: str) -> None:
    release = stage(root, 1)
    (root / "releases" / release.id / "release.json").write_text(content)
    with pytest.raises(StackError) as raised:
        _release.read(root / "releases" / release.id)
    assert release.id in raised.value.cause
    assert raised.value.fix


def test_broken_record_does_not_hide_the_others(root: Path) -> None:
    first, second, third = (stage(root, number) for number in (1, 2, 3))
    (root / "releases" / second.id / "release.json").write_text("{")
    (root / "releases/20260104T000000Z-empty").mkdir()
    (root / "releases/notes.txt").write_text("")
    empty, newest, broken, oldest = _release.entries(root)
    assert (newest, oldest) == (third, first)
    assert isinstance(broken, Broken) and isinstance(empty, Broken)
    assert (broken.id, empty.id) == (second.id, "20260104T000000Z-empty")
    assert "line 1" in broken.reason
    assert "release.json" in empty.reason
    assert _release.listed(root) == [third, first]


def test_id_of_the_current_one_is_known_though_its_record_is_broken(root: Path) -> None:
    assert _release.active_id(root) == ""
    release = stage(root, 1)
    _release.activate(root, release.id)
    (root / "releases" / release.id / "release.json").write_text("")
    assert _release.active_id(root) == release.id


def test_atomic_write_says_whether_it_changed_anything(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert _release.write_atomically(path, "a", mode=0o600)
    assert not _release.write_atomically(path, "a", mode=0o600)
    assert _release.write_atomically(path, "a", mode=0o640)
    assert _release.write_atomically(path, "b", mode=0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("b", 0o640)


def test_failed_write_keeps_the_old_content_and_leaves_no_scratch_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        _release.write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_reader_sees_the_old_or_the_new_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = {"a" * 100_000, "b" * 100_000}
    path.write_text(min(contents))
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(50):
        _release.write_atomically(path, sorted(contents)[turn % 2])
    done.set()
    reader.join()
    assert seen <= contents


def test_content_hash_does_not_depend_on_order_but_on_every_part() -> None:
    digest = _release.content_hash({"a": "1", "b": "2"})
    assert digest == _release.content_hash({"b": "2", "a": "1"})
    others = [{"a": "1", "b": "3"}, {"a": "1", "c": "2"}, {"a": "1"}, {"a": "1b", "": "2"}]
    assert digest not in {_release.content_hash(other) for other in others}


def test_release_id_carries_time_and_hash(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    stamp, _dash, digest = _release.release_id(tmp_path, "1a2b3c4d5e6f").partition("-")
    assert digest == "1a2b3c4d5e"
    assert before <= datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) <= datetime.now(UTC)


def test_release_id_is_later_than_all_others_whatever_the_clock_says(tmp_path: Path) -> None:
    for name in ("20260101T000000Z-aaaaaaaaaa", "29991231T235959Z-ffffffffff", "2020-a", ".staging-1"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    assert _release.release_id(tmp_path, "0" * 64) == "30000101T000000Z-0000000000"


def test_lock_held_by_a_live_process_names_it(tmp_path: Path) -> None:
    holder = hold(tmp_path / "lock")
    try:
        with pytest.raises(StackError) as raised, _release.lock(tmp_path / "lock"):
            pass
        assert raised.value.cause == "Another deploy of this project is running on this host."
        assert f"pid {holder.pid} on " in raised.value.evidence
        assert raised.value.fix
    finally:
        holder.kill()
        holder.communicate()


def test_lock_of_a_dead_process_is_not_in_the_way(tmp_path: Path) -> None:
    holder = hold(tmp_path / "lock")
    holder.kill()
    holder.communicate()
    with _release.lock(tmp_path / "lock"):
        assert f"pid {os.getpid()} on " in (tmp_path / "lock").read_text()


def test_lock_is_free_after_a_failure_inside(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), _release.lock(tmp_path / "lock"):
        raise RuntimeError
    with _release.lock(tmp_path / "lock"):
        pass


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock, and return when it does."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    argv = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process
