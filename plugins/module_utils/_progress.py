# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says while it works: lines in a file, which the action plugin of the same name shows."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading

# Terminal sequences, then what is left of control characters: lines come from programs in containers.
UNPRINTABLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Progress:
    """A file that takes a line at a time, from any thread; without a path, or where it cannot be written, nothing.

    A file that is there already must be the process's own and have one name: the directory may be open to everyone.
    """

    def __init__(self, path: str | None) -> None:
        self._lock = threading.Lock()
        self._file = _open(path) if path else None

    def say(self, text: str) -> None:
        """Write the lines of ``text`` that are not blank."""
        if self._file is None:
            return
        lines = (UNPRINTABLE.sub("", line).rstrip() for line in re.split(r"[\r\n]+", text))
        data = "".join(f"{line}\n" for line in lines if line).encode(errors="replace")
        # A full disk takes the progress, not the work.
        with self._lock, contextlib.suppress(OSError):
            os.write(self._file, data)


def _open(path: str) -> int | None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
    except OSError:
        return None
    found = os.fstat(file)
    if found.st_uid == os.geteuid() and found.st_nlink == 1 and not stat.S_ISDIR(found.st_mode):
        return file
    os.close(file)
    return None
