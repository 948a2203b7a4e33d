# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic revisions: what to do from where the database stands and where the image leads. No I/O."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

BASE = "<base>"
HEAD = "head"
_LINE = re.compile(
    r"^(?P<down>\S+(?:, \S+)*)(?: \((?P<needs>[^)]+)\))? -> "
    r"(?P<revision>\S+?)(?P<marks>(?: \([^)]*\))*)(?:, ?(?P<doc>.*))?$"
)


@dataclass(frozen=True)
class Revision:
    """A revision, those it needs to be there before, and what its author calls it."""

    id: str
    parents: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class History:
    """What an image knows: its heads, and all revisions by id, none before its parents."""

    heads: tuple[str, ...]
    revisions: t.Mapping[str, Revision] = field(default_factory=dict)


def parse_history(output: str) -> History:
    """Return what ``alembic history`` printed, the newest first; lines of another form are a log's."""
    matches = [match for match in map(_LINE.match, output.splitlines()) if match]
    # A revision may depend on another by the name of its branch.
    branches = {
        label: match["revision"]
        for match in matches
        for marks in re.findall(r"\(([^)]*)\)", match["marks"])
        for label in marks.split(", ")
    }
    found = {}
    for match in reversed(matches):
        names = [*match["down"].split(", "), *(match["needs"] or "").split(", ")]
        parents = tuple(branches.get(name, name) for name in names if name not in ("", BASE))
        found[match["revision"]] = Revision(match["revision"], parents, (match["doc"] or "").strip())
    heads = tuple(match["revision"] for match in matches if "(head)" in match["marks"])
    return History(heads, found)


def only_head(history: History) -> str:
    """Return the head. Raises StackError unless there is exactly one."""
    if len(history.heads) == 1:
        return history.heads[0]
    heads = history.heads
    found = "\n".join(f"{head}: {history.revisions[head].message}" for head in heads) if heads else "There is none."
    fix = f"Merge them: `alembic merge -m 'merge heads' {' '.join(heads)}`." if heads else "Add a first revision."
    raise StackError("The migrations of this release do not have exactly one head.", evidence=found, fix=fix)


def unknown(history: History, current: t.Iterable[str]) -> list[str]:
    """Return the revisions of the database that the image does not know."""
    return [revision for revision in current if revision not in history.revisions]


def pending(history: History, current: t.Iterable[str], target: str) -> list[Revision]:
    """Return what has to be applied to get from the database's revisions to ``target``, in the order in which it is."""
    done = _with_ancestors(history, current)
    wanted = _with_ancestors(history, [target])
    return [revision for key, revision in history.revisions.items() if key in wanted and key not in done]


def undone(history: History, current: t.Sequence[str], target: str) -> list[Revision]:
    """Return what has to be taken back to get down to ``target`` (empty for the very beginning), the newest first.

    Raises StackError where it is not on the way back.
    """
    kept = _with_ancestors(history, [target] if target else [])
    done = _with_ancestors(history, current)
    if not kept <= done:
        raise StackError(
            f"The database cannot be migrated down to {target}.",
            evidence=f"It is at {', '.join(current) or '(empty)'}, and {target} is not on the way that led there.",
            fix="Name a revision that the database has been at, or migrate up.",
        )
    return [revision for key, revision in reversed(tuple(history.revisions.items())) if key in done and key not in kept]


def describe(revisions: t.Iterable[Revision]) -> list[dict[str, str]]:
    """Return revisions as plain data."""
    return [{"revision": item.id, "message": item.message} for item in revisions]


def _with_ancestors(history: History, revisions: t.Iterable[str]) -> set[str]:
    seen: set[str] = set()
    queue = list(revisions)
    while queue:
        revision = queue.pop()
        if revision not in seen and revision in history.revisions:
            seen.add(revision)
            queue += history.revisions[revision].parents
    return seen
