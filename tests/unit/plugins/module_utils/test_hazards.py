# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SQL of a migration does to data and to an application that runs."""

from __future__ import annotations

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _hazards

REWRITES = "changes a type, which may rewrite the table under a lock"
COMPUTED = "adds a column with a value computed for each row, which rewrites the table under a lock"
CASES = {
    "DROP TABLE item": "drops a table",
    "drop materialized view report": "drops a materialized view",
    "TRUNCATE item": "empties a table",
    "DELETE FROM item WHERE id = 1": "deletes rows",
    "DELETE FROM alembic_version WHERE version_num = '1'": "",
    "ALTER TABLE item DROP COLUMN name": "drops a column",
    "ALTER TABLE item DROP name": "drops a column",
    "ALTER TABLE ONLY public.item DROP COLUMN IF EXISTS constraint_name": "drops a column",
    "ALTER TABLE item DROP CONSTRAINT uq_item": "",
    "ALTER TABLE item ALTER COLUMN name DROP NOT NULL": "",
    "ALTER TABLE item ALTER name DROP DEFAULT": "",
    "ALTER TABLE item ALTER COLUMN price TYPE numeric(10, 2)": REWRITES,
    'ALTER TABLE "item" ALTER COLUMN price SET DATA TYPE bigint USING price::bigint': REWRITES,
    "ALTER TABLE item ALTER COLUMN name SET NOT NULL": "reads the whole table under a lock to set NOT NULL",
    "ALTER TABLE item ADD COLUMN price int": "",
    "ALTER TABLE item ADD COLUMN price int DEFAULT 0 NOT NULL": "",
    "ALTER TABLE item ADD COLUMN made timestamptz DEFAULT now() NOT NULL": "",
    "ALTER TABLE item ADD COLUMN price int NOT NULL": (
        "adds a column that is NOT NULL and has no default: it fails where there are rows"
    ),
    "ALTER TABLE item ADD COLUMN key uuid DEFAULT gen_random_uuid() NOT NULL": COMPUTED,
    "ALTER TABLE item ADD COLUMN double int GENERATED ALWAYS AS (price * 2) STORED": COMPUTED,
    "ALTER TABLE item RENAME COLUMN name TO title": "renames what the code that still serves may use",
    "ALTER TABLE item RENAME TO product": "renames what the code that still serves may use",
    "ALTER TABLE item ADD CONSTRAINT fk FOREIGN KEY(aisle) REFERENCES aisle (id)": (
        "checks all rows under a lock; NOT VALID does not"
    ),
    "ALTER TABLE item ADD CONSTRAINT fk FOREIGN KEY(aisle) REFERENCES aisle (id) NOT VALID": "",
    "ALTER TABLE item VALIDATE CONSTRAINT fk": "",
    "ALTER TABLE item ADD CONSTRAINT uq UNIQUE (name)": "builds an index under a lock",
    "ALTER TABLE item ADD CONSTRAINT uq UNIQUE USING INDEX ix": "",
    "CREATE INDEX ix ON item (name)": "builds an index while writing waits; CONCURRENTLY does not",
    "CREATE UNIQUE INDEX ix ON public.item USING btree (name)": (
        "builds an index while writing waits; CONCURRENTLY does not"
    ),
    "CREATE INDEX CONCURRENTLY ix ON item (name)": "",
    "INSERT INTO note VALUES ('; DROP TABLE item; --')": "",
    "INSERT INTO note VALUES ($x$; TRUNCATE item;$x$)": "",
    "-- DROP TABLE item\nSELECT 1": "",
    "/* TRUNCATE item; */ SELECT 1": "",
    "UPDATE t SET a = 'x--y'; DROP TABLE item; UPDATE t SET b = 'z'": "drops a table",
    "INSERT INTO note VALUES ('image/*'); DROP DOMAIN item; /* end */ SELECT 1": "drops a domain",
    "-- it's\nTRUNCATE item; SELECT 'x'": "empties a table",
    "ALTER TABLE item DROP CONSTRAINT c, DROP COLUMN d": "drops a column",
    "ALTER TABLE item DROP CONSTRAINT c, DROP CONSTRAINT d": "",
    "DO $$ BEGIN DROP TABLE item; END $$": "runs a block of code, of which nothing can be told",
    "WITH x AS (DELETE FROM item RETURNING id) SELECT * FROM x": "deletes rows",
    "CREATE TABLE item (id int NOT NULL)": "",
}


def script(*revisions: tuple[str, str]) -> str:
    """Return what Alembic prints for revisions and their SQL."""
    down, lines = "", ["BEGIN;"]
    for revision, sql in revisions:
        lines += [f"-- Running upgrade {down} -> {revision}", f"{sql};", "UPDATE alembic_version SET version_num='x';"]
        down = revision
    return "\n\n".join([*lines, "COMMIT;"])


@pytest.mark.parametrize(("statement", "what"), CASES.items())
def test_statement_is_told_by_what_it_does(statement: str, what: str) -> None:
    found = _hazards.hazards(script(("2b3c", statement)))
    assert [(item.revision, item.what) for item in found] == ([("2b3c", what)] if what else [])


def test_table_of_the_same_revision_has_no_rows_to_lock() -> None:
    made = 'CREATE TABLE "item" (id int); CREATE INDEX ix ON item (id); ALTER TABLE item ADD CONSTRAINT u UNIQUE (id)'
    assert _hazards.hazards(script(("1f0a", made))) == []
    later = _hazards.hazards(script(("1f0a", made), ("2b3c", "CREATE INDEX iy ON item (id)")))
    assert [item.revision for item in later] == ["2b3c"]


def test_hazard_names_revision_and_statement() -> None:
    [found] = _hazards.hazards(script(("1f0a", "SELECT 1"), ("2b3c", "DROP TABLE\n  item")))
    assert str(found) == "2b3c: drops a table: DROP TABLE item"


def test_way_down_is_told_by_the_revision_that_is_undone() -> None:
    down = (
        "BEGIN;\n\n-- Running downgrade 2b3c -> 1f0a\n\nDROP TABLE item;\n\n-- Running downgrade 1f0a -> \n\nSELECT 1;"
    )
    assert _hazards.by_revision(down) == {"2b3c": "DROP TABLE item;", "1f0a": "SELECT 1;"}
    assert [item.revision for item in _hazards.hazards(down)] == ["2b3c"]


def test_script_without_revisions_has_none() -> None:
    assert _hazards.by_revision("-- nothing") == {}
