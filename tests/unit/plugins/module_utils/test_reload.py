# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which moments count when the files of nginx are compared with what it has loaded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _reload


def test_newest_change_looks_into_all_directories_and_not_at_notes(tmp_path: Path) -> None:
    for number, name in enumerate(["nginx/conf.d/site.conf", "tls/fullchain.pem", "nginx/.validated"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1000 + number, 1000 + number))
    assert _reload.newest_change([tmp_path / "nginx", tmp_path / "tls"]) == 1001
    assert _reload.newest_change([tmp_path / "nginx"]) == 1000
    assert _reload.newest_change([tmp_path / "nothing"]) == 0.0


WORKER = "nginx: worker process"


def child(title: str) -> str:
    """Return the shell's words for a process of this title, which first tells its pid."""
    return f"(echo $BASHPID '{title}'; exec -a '{title}' sleep 60) &"


@contextlib.contextmanager
def running(script: str, lines: int) -> t.Iterator[tuple[int, list[tuple[int, str]]]]:
    """Run a shell script as the master; yield its pid, and pid and title of the processes that tell theirs."""
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True) as master:
        try:
            assert master.stdout is not None
            told = [master.stdout.readline().strip().partition(" ") for _line in range(lines)]
            yield master.pid, [(int(pid), title) for pid, _blank, title in told]
        finally:
            os.killpg(master.pid, signal.SIGKILL)


def eventually(look: t.Callable[[], t.Any], expected: t.Any) -> None:
    """Look until the processes have become what they are called: a change of a title gives no event."""
    deadline = time.monotonic() + 10
    while (found := look()) != expected:
        assert time.monotonic() < deadline, found


def test_workers_are_those_that_take_new_connections() -> None:
    others = [f"{WORKER} is shutting down", "nginx: cache manager process", "nginx: master process nginx", "php-fpm"]
    titles = [WORKER, *others, WORKER]
    with running(" ".join(child(title) for title in titles) + " wait", len(titles)) as (master, told):
        eventually(lambda: sorted(_title(pid) for pid, _word in told), sorted(titles))
        assert sorted(_reload.workers(master)) == sorted(pid for pid, title in told if title == WORKER)


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]


def test_workers_are_found_below_an_init_and_not_beside_it() -> None:
    with running(f"{child(WORKER)} (echo $BASHPID init; {child(WORKER)} wait) & wait", 3) as (master, told):
        [init] = [pid for pid, title in told if title == "init"]
        workers = sorted(pid for pid, title in told if title == WORKER)
        eventually(lambda: sorted(_reload.workers(master)), workers)
        [below] = _reload.workers(init)
        assert below in workers


def test_worker_that_has_ended_is_none_though_nobody_has_taken_notice() -> None:
    # `exec sleep` never waits for its child: what has ended stays as a zombie.
    with running(f"{child(WORKER)} exec sleep 60", 1) as (master, [(worker, _title)]):
        eventually(lambda: _reload.workers(master), [worker])
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: _reload.workers(master), [])
        assert Path(f"/proc/{worker}").exists()
    assert _reload.workers(master) == []


def test_youngest_worker_is_found_among_all_below_a_process() -> None:
    before = time.time()
    with running(f"{child(WORKER)} {child(WORKER)} wait", 2) as (master, told):
        eventually(lambda: sorted(_reload.workers(master)), sorted(pid for pid, _title in told))
        moment = _reload.youngest_worker(master)
    assert moment is not None
    assert before - 0.1 <= moment <= time.time() + 0.1


def test_a_process_without_workers_has_loaded_nothing() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            assert _reload.youngest_worker(process.pid) is None
        finally:
            process.kill()


def test_processes_that_end_while_they_are_looked_at_are_none() -> None:
    with running("echo 1 ready; while :; do (/bin/true) & wait; done", 1) as (master, _told):
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert _reload.workers(master) == []
