# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of error the collection raises: what is wrong, how we know, what to do."""

from __future__ import annotations

import typing as t


class StackError(Exception):
    """A failure a person can act on.

    ``cause`` is one sentence, ``evidence`` the observed facts (a command's output, a log tail, a path),
    ``fix`` the next step. Secrets must not be put into any of them.
    """

    def __init__(self, cause: str, *, evidence: str = "", fix: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.evidence = evidence.rstrip()
        self.fix = fix
        self.serving: dict[str, str] = {}
        """After a rollout that was taken back: what serves each service now."""

    def __str__(self) -> str:
        parts = [self.cause]
        if self.evidence:
            parts.append(self.evidence)
        parts += [f"{service} is served by {words}." if service else words for service, words in self.serving.items()]
        if self.fix:
            parts.append(f"Fix: {self.fix}")
        return "\n".join(parts)

    def result(self) -> dict[str, t.Any]:
        """Return the keyword arguments for ``AnsibleModule.fail_json``."""
        told = {"msg": str(self), "cause": self.cause, "evidence": self.evidence, "fix": self.fix}
        return {**told, "serving": self.serving} if self.serving else told
