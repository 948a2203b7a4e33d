# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of error the collection raises: what is wrong, how we know, what to do."""

from __future__ import annotations

import errno
import typing as t

DISK_FULL = "Free space: `docker system df`, then `docker image prune`."


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


class EngineGoneError(StackError):
    """The Engine ended, or lost the connection, in the middle of the work."""

    def __init__(self, evidence: str) -> None:
        super().__init__(
            "The Docker Engine went away in the middle of the work.",
            evidence=evidence,
            fix="Start it (`systemctl start docker` or `service docker start`), read its log (`journalctl -u docker`), "
            "and repeat the deploy: it converges.",
        )


def understood(error: BaseException) -> StackError | None:
    """Return what to tell a person of an error, also of one nobody expected; None for a mistake in the program."""
    if isinstance(error, StackError):
        return error
    # By their names: both are loaded only where a module talks to the Engine, which takes its time.
    if type(error).__module__.startswith(("docker.", "requests.")):
        if isinstance(error, OSError) and not hasattr(error, "explanation"):
            return EngineGoneError(f"Connection to the Engine: {_innermost(error)}")
        return StackError(
            "The Docker Engine did not do what it was asked for.",
            evidence=str(getattr(error, "explanation", None) or error),
            fix="Read the Engine's log (`journalctl -u docker`); when it runs, repeat the deploy: it converges.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StackError("The disk is full.", evidence=str(error), fix=f"{DISK_FULL} Then repeat the deploy.")
    return None


def _innermost(error: BaseException) -> BaseException:
    """Return the error that others were made of: it says most."""
    while error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]
    return error
