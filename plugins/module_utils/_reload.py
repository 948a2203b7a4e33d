# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a running nginx has loaded the files it is configured by, seen from the host.

A reload replaces the workers, so the files in force are those that were there when the youngest worker started.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
from pathlib import Path

PROC = Path("/proc")
WORKER = b"nginx: worker process"


def workers(root_pid: int) -> list[int]:
    """Return the nginx workers below a process that take new connections: not those that finish their last ones."""
    found = []
    for pid in list(_below(root_pid)):
        # A worker of before the last reload may end while we look.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            command = _command(pid)
            if command.startswith(WORKER) and b"shutting down" not in command:
                found.append(pid)
    return found


def youngest_worker(root_pid: int) -> float | None:
    """Return when the youngest nginx worker below a process started (seconds since the epoch), if there is one."""
    starts = []
    for pid in workers(root_pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            starts.append(_start(pid))
    return max(starts, default=None)


def newest_change(paths: t.Iterable[Path]) -> float:
    """Return when the newest file in these directories was written (seconds since the epoch); hidden ones are notes."""
    files = (file for path in paths for file in path.rglob("[!.]*") if file.is_file())
    return max((file.stat().st_mtime for file in files), default=0.0)


def _below(pid: int) -> t.Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _below(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    # The process may end while we look, and so may one of its threads.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in (PROC / str(pid) / "task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += (int(child) for child in task.read_text(encoding="ascii").split())
    return found


def _command(pid: int) -> bytes:
    return (PROC / str(pid) / "cmdline").read_bytes()


def _start(pid: int) -> float:
    # Field 22 of proc(5) stat, counted behind the name, which may hold blanks: clock ticks since boot.
    fields = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
