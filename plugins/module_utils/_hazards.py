# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SQL of a migration does to data that is there and to an application that runs. No I/O.

Sources: PostgreSQL documentation, ALTER TABLE (notes), explicit locking, CREATE INDEX.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

# Whichever begins first: a literal may hold the marks of a comment, and a comment quotes.
_OPAQUE = re.compile(r"(?P<comment>--[^\n]*|/\*.*?\*/)|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*'", re.DOTALL)
_MARK = re.compile(r"^-- Running (?:upgrade .*? -> (?P<up>\S+)|downgrade (?P<down>\S+) -> .*?)\s*$", re.MULTILINE)
_NAME = r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?'
_CREATES = re.compile(rf"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?({_NAME})", re.IGNORECASE)
_DROPS = re.compile(
    r"DROP (TABLE|SCHEMA|DATABASE|TYPE|DOMAIN|VIEW|MATERIALIZED VIEW|SEQUENCE|FUNCTION|EXTENSION|OWNED)\b",
    re.IGNORECASE,
)
_INDEXES = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)(?:IF NOT EXISTS )?\S+ ON (?:ONLY )?({_NAME})", re.IGNORECASE
)
_ALTERS = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?({_NAME}) (.*)", re.IGNORECASE | re.DOTALL)
_ACTIONS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), what)
    for pattern, what in (
        (r"RENAME (?:COLUMN |CONSTRAINT )?|SET SCHEMA", "renames what the code that still serves may use"),
        (
            r"(?:|.*,\s*)DROP (?:COLUMN )?(?!CONSTRAINT\b|NOT NULL\b|DEFAULT\b|IDENTITY\b|EXPRESSION\b)\S",
            "drops a column",
        ),
        (r".*\bALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b", "changes a type, which may rewrite the table under a lock"),
        (r".*\bSET NOT NULL\b", "reads the whole table under a lock to set NOT NULL"),
        (
            r"(?!.*\bNOT VALID\b).*\bADD (?:CONSTRAINT \S+ )?(?:FOREIGN KEY|CHECK)\b",
            "checks all rows under a lock; NOT VALID does not",
        ),
        (
            r"(?!.*\bUSING INDEX\b).*\bADD (?:CONSTRAINT \S+ )?(?:PRIMARY KEY|UNIQUE|EXCLUDE)\b",
            "builds an index under a lock",
        ),
        (
            r"(?!.*\b(?:DEFAULT|GENERATED)\b)ADD (?!CONSTRAINT).*\bNOT NULL\b",
            "adds a column that is NOT NULL and has no default: it fails where there are rows",
        ),
        (
            r"ADD (?!CONSTRAINT).*(?:\bDEFAULT\s+\(?\s*"
            r"(?:gen_random_uuid|uuid_generate_\w+|random|clock_timestamp|nextval)\s*\("
            r"|\bGENERATED ALWAYS AS \(.*\bSTORED)",
            "adds a column with a value computed for each row, which rewrites the table under a lock",
        ),
    )
)


@dataclass(frozen=True)
class Hazard:
    """A statement that deserves a look: what it does, and the beginning of it."""

    revision: str
    what: str
    statement: str

    def __str__(self) -> str:
        return f"{self.revision}: {self.what}: {self.statement}"


def by_revision(script: str) -> dict[str, str]:
    """Return revision -> SQL of what ``alembic upgrade --sql`` (or ``downgrade``) printed."""
    marks = list(_MARK.finditer(script))
    ends = [*(mark.start() for mark in marks[1:]), len(script)]
    # A script without marks has an end and no beginning.
    parts = zip(marks, ends, strict=False)
    found = {}
    for mark, end in parts:
        begin = mark.end()
        found[mark["up"] or mark["down"]] = script[begin:end].strip()
    return found


def hazards(script: str) -> list[Hazard]:
    """Return what destroys data, rewrites a table, locks it for long or breaks the code that still serves."""
    found = []
    for revision, sql in by_revision(script).items():
        statements = _statements(sql)
        matches = (_CREATES.match(statement) for statement in statements)
        # A table made in the same revision has no rows and no users.
        created = {_plain(match[1]) for match in matches if match}
        for statement in statements:
            what = _judge(statement, created)
            if what:
                found.append(Hazard(revision, what, statement[:200]))
    return found


def _statements(sql: str) -> list[str]:
    # A literal may hold anything, a semicolon too.
    blank = _OPAQUE.sub(lambda match: " " if match["comment"] else "''", sql)
    return [" ".join(part.split()) for part in blank.split(";") if part.strip()]


def _plain(name: str) -> str:
    return name.replace('"', "").removeprefix("public.").lower()


def _judge(statement: str, created: t.Collection[str]) -> str:
    dropped = _DROPS.match(statement)
    if dropped:
        return f"drops a {dropped[1].lower()}"
    if re.match(r"TRUNCATE\b", statement, re.IGNORECASE):
        return "empties a table"
    if re.match(r"(?:WITH\b.*\b)?DELETE FROM\b", statement, re.IGNORECASE):
        return "" if re.match("DELETE FROM alembic_version", statement, re.IGNORECASE) else "deletes rows"
    if re.match(r"DO\b", statement, re.IGNORECASE):
        return "runs a block of code, of which nothing can be told"
    index = _INDEXES.match(statement)
    if index:
        return "" if _plain(index[1]) in created else "builds an index while writing waits; CONCURRENTLY does not"
    altered = _ALTERS.match(statement)
    if altered is None or _plain(altered[1]) in created:
        return ""
    return next((what for pattern, what in _ACTIONS if pattern.match(altered[2])), "")
