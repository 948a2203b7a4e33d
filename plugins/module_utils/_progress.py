# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in."""

from __future__ import annotations


class Progress:
    """Lines."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def say(self, text: str) -> None:
        """Append a line."""
        if self._path:
            with open(self._path, "a", encoding="utf-8") as stream:
                stream.write(text + "\n")
