# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's own words, and what follows from them. The outputs are those of Alembic 1.20."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


@dataclass(frozen=True)
class Revision:
    """A migration as Alembic knows it: what it comes after, what it depends on, the names of its branch."""

    id: str
    after: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


# Alembic refuses these in an id: @ - + :
NAMES = st.text("abcdef0123456789._äß", min_size=1, max_size=12)


@st.composite
def graphs(draw: st.DrawFn) -> list[Revision]:
    """Draw revisions, each after some of those before it: lines, branches, merges, several bases."""
    ids = draw(st.lists(NAMES, unique=True, max_size=8))
    graph: list[Revision] = []
    for number, name in enumerate(ids):
        earlier = st.lists(st.sampled_from(ids[:number]), unique=True, max_size=2) if number else st.just([])
        # Mostly a line, as migrations are.
        after = draw(st.just(ids[number - 1 : number]) | earlier)
        depends_on = draw(st.just([]) | earlier)
        graph.append(Revision(name, tuple(after), tuple(depends_on), tuple(draw(st.lists(NAMES, max_size=2)))))
    return graph


def heads_of(graph: list[Revision]) -> list[str]:
    """Return the revisions that nothing comes after and nothing depends on."""
    followed = {name for revision in graph for name in (*revision.after, *revision.depends_on)}
    return [revision.id for revision in graph if revision.id not in followed]


def printed(graph: list[Revision]) -> str:
    """Return what `alembic heads` prints: also what only others depend on, which it calls an effective head."""
    followed = {name for revision in graph for name in revision.after}
    lines = []
    for revision in graph:
        if revision.id not in followed:
            labels = f" ({', '.join(revision.labels)})" if revision.labels else ""
            lines.append(f"{revision.id}{labels} {'(head)' if revision.id in heads_of(graph) else '(effective head)'}")
    return "".join(f"{line}\n" for line in lines)


@given(
    graphs(),
    st.lists(st.sampled_from([INFO, "a note (header)\n", "see 1f0a (head)\n", " (head)\n", "\n"]), max_size=2).map(
        "".join
    ),
)
def test_heads_of_any_history_are_read_whatever_else_is_printed(graph: list[Revision], noise: str) -> None:
    assert list(_revision.parse_heads(noise + printed(graph) + noise)) == heads_of(graph)


@given(graphs(), st.data())
@example([], None)
def test_only_one_head_is_gone_to_and_only_by_who_is_not_there(
    graph: list[Revision], data: st.DataObject | None
) -> None:
    known = ["", "gone", *(revision.id for revision in graph)]
    current = data.draw(st.sampled_from(known)) if data else ""
    heads = _revision.parse_heads(printed(graph))
    if len(heads_of(graph)) == 1:
        assert _revision.decide(current, heads) == ("nothing" if current in heads_of(graph) else "upgrade")
        return
    with pytest.raises(StackError) as raised:
        _revision.decide(current, heads)
    assert all(head in raised.value.evidence and head in raised.value.fix for head in heads_of(graph))
    assert raised.value.cause and raised.value.fix
