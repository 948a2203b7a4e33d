# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic revisions: what to do from where the database stands and where the image leads. No I/O."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

Decision = t.Literal["nothing", "upgrade"]


def parse_heads(output: str) -> tuple[str, ...]:
    """Return the revisions of ``alembic heads``: one a line, followed by ``(head)``."""
    return tuple(re.findall(r"^(\S+)(?: \([^)]*\))* \(head\)", output, re.MULTILINE))


def decide(current: str, heads: t.Sequence[str]) -> Decision:
    """Return whether there is something to do. Raises StackError unless the image has exactly one head."""
    if len(heads) != 1:
        found = ", ".join(heads) if heads else "none"
        fix = f"Merge them: `alembic merge -m 'merge heads' {' '.join(heads)}`." if heads else "Add a first revision."
        raise StackError("The migrations of this release do not have exactly one head.", evidence=found, fix=fix)
    return "nothing" if current == heads[0] else "upgrade"
