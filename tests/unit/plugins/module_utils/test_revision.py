# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's own words, and what follows from them. The outputs are those of Alembic 1.20."""

from __future__ import annotations

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _revision
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

INFO = "INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.\n"


@pytest.mark.parametrize(
    ("output", "heads"),
    [
        ("2b3c (head)\n", ("2b3c",)),
        (INFO + "2b3c (head)\n", ("2b3c",)),
        ("2b3c (head)\n3d4e (head)\n", ("2b3c", "3d4e")),
        ("2024.01.02 (networking) (head)\n2b3c (head)\n", ("2024.01.02", "2b3c")),
        # A revision others depend on leaves no row of its own in the database.
        ("2024.01.02 (networking) (effective head)\n5f6a (head)\n", ("5f6a",)),
        ("", ()),
    ],
)
def test_heads_are_read_from_alembic(output: str, heads: tuple[str, ...]) -> None:
    assert _revision.parse_heads(output) == heads


def test_database_at_the_head_has_nothing_to_do() -> None:
    assert _revision.decide("2b3c", ["2b3c"]) == "nothing"


@pytest.mark.parametrize("current", ["", "1f0a"])
def test_database_before_the_head_is_upgraded(current: str) -> None:
    assert _revision.decide(current, ["2b3c"]) == "upgrade"


def test_two_heads_are_refused_by_name_with_the_command_that_merges_them() -> None:
    with pytest.raises(StackError) as raised:
        _revision.decide("", ["2b3c", "3d4e"])
    assert raised.value.evidence == "2b3c, 3d4e"
    assert "alembic merge -m 'merge heads' 2b3c 3d4e" in raised.value.fix


def test_no_head_is_refused() -> None:
    with pytest.raises(StackError) as raised:
        _revision.decide("", [])
    assert raised.value.evidence == "none"
