# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's own words, and what follows from them. The outputs are those of Alembic 1.20."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.shipshape.stack.plugins.module_utils import _revision
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._revision import History, Revision

INFO = "INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.\n"
LINE = """\
2b3c -> 3d4e (head), add prices
1f0a -> 2b3c, names -> longer, with commas
<base> -> 1f0a, items
"""
FORKED = """\
1f0a (2b3c) -> 3d4e (networking) (head),
1f0a -> 2b3c (effective head), second
<base> -> 1f0a (branchpoint), first
"""
MERGED = """\
2b3c, 3d4e -> 4f5a (head) (mergepoint), merge
1f0a -> 3d4e, other
1f0a -> 2b3c, second
<base> -> 1f0a (branchpoint), first
"""


def ids(revisions: list[Revision]) -> list[str]:
    return [revision.id for revision in revisions]


def test_line_of_revisions_is_read_with_its_messages() -> None:
    assert _revision.parse_history(INFO + LINE) == History(
        ("3d4e",),
        {
            "1f0a": Revision("1f0a", (), "items"),
            "2b3c": Revision("2b3c", ("1f0a",), "names -> longer, with commas"),
            "3d4e": Revision("3d4e", ("2b3c",), "add prices"),
        },
    )


def test_revision_others_depend_on_is_no_head_and_comes_before_them() -> None:
    """It leaves no row of its own in the database."""
    history = _revision.parse_history(FORKED)
    assert history.heads == ("3d4e",)
    assert history.revisions["3d4e"].parents == ("1f0a", "2b3c")
    assert ids(_revision.pending(history, ["1f0a"], "3d4e")) == ["2b3c", "3d4e"]


def test_branch_that_is_depended_on_by_its_name_is_found() -> None:
    history = _revision.parse_history("1f0a (cables) -> 5a6b (head), \n1f0a -> 2b3c (cables), \n<base> -> 1f0a, ")
    assert history.revisions["5a6b"].parents == ("1f0a", "2b3c")


def test_both_sides_of_a_merge_are_pending_and_only_one_where_the_other_is_there() -> None:
    history = _revision.parse_history(MERGED)
    assert ids(_revision.pending(history, [], "4f5a")) == ["1f0a", "2b3c", "3d4e", "4f5a"]
    assert ids(_revision.pending(history, ["3d4e"], "4f5a")) == ["2b3c", "4f5a"]
    assert ids(_revision.pending(history, ["2b3c", "3d4e"], "4f5a")) == ["4f5a"]
    assert _revision.pending(history, ["4f5a"], "4f5a") == []


def test_way_back_is_the_newest_first() -> None:
    history = _revision.parse_history(LINE)
    assert ids(_revision.undone(history, ["3d4e"], "1f0a")) == ["3d4e", "2b3c"]
    assert ids(_revision.undone(history, ["2b3c"], "")) == ["2b3c", "1f0a"]
    assert _revision.undone(history, ["2b3c"], "2b3c") == []


def test_way_back_to_where_the_database_never_was_is_refused() -> None:
    with pytest.raises(StackError) as raised:
        _revision.undone(_revision.parse_history(LINE), ["1f0a"], "2b3c")
    assert raised.value.evidence == "It is at 1f0a, and 2b3c is not on the way that led there."


def test_revisions_that_the_image_does_not_know_are_named() -> None:
    assert _revision.unknown(_revision.parse_history(LINE), ["2b3c", "9999"]) == ["9999"]


def test_two_heads_are_refused_by_name_with_the_command_that_merges_them() -> None:
    history = _revision.parse_history("1f0a -> 2b3c (head), one\n1f0a -> 3d4e (head), two\n<base> -> 1f0a, first")
    with pytest.raises(StackError) as raised:
        _revision.only_head(history)
    assert raised.value.evidence == "2b3c: one\n3d4e: two"
    assert "alembic merge -m 'merge heads' 2b3c 3d4e" in raised.value.fix


def test_no_head_is_refused() -> None:
    with pytest.raises(StackError) as raised:
        _revision.only_head(_revision.parse_history(INFO))
    assert raised.value.evidence == "There is none."


@dataclass(frozen=True)
class Written:
    """A migration as Alembic knows it: what it comes after, what it depends on, the names of its branch."""

    id: str
    after: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    doc: str = ""


# Alembic refuses these in an id: @ - + :
NAMES = st.text("abcdef0123456789._äß", min_size=1, max_size=12)


@st.composite
def graphs(draw: st.DrawFn) -> list[Written]:
    """Draw revisions, each after some of those before it: lines, branches, merges, several bases."""
    ids = draw(st.lists(NAMES, unique=True, max_size=8))
    graph: list[Written] = []
    for number, name in enumerate(ids):
        earlier = st.lists(st.sampled_from(ids[:number]), unique=True, max_size=2) if number else st.just([])
        # Mostly a line, as migrations are.
        after = draw(st.just(ids[number - 1 : number]) | earlier)
        depends_on = draw(st.just([]) | earlier)
        # A label is none of the ids.
        labels = [f"label-{label}" for label in draw(st.lists(NAMES, max_size=2))]
        doc = draw(st.sampled_from(["", "add (things)", "a -> b, c", "x (head)"]))
        graph.append(Written(name, tuple(after), tuple(depends_on), tuple(labels), doc))
    return graph


def heads_of(graph: list[Written]) -> set[str]:
    """Return the revisions that nothing comes after and nothing depends on."""
    followed = {name for revision in graph for name in (*revision.after, *revision.depends_on)}
    return {revision.id for revision in graph if revision.id not in followed}


def printed(graph: list[Written]) -> str:
    """Return what `alembic history` prints."""
    followed = [name for revision in graph for name in revision.after]
    lines = []
    for revision in reversed(graph):
        needs = f" ({', '.join(revision.depends_on)})" if revision.depends_on else ""
        marks = f" ({', '.join(revision.labels)})" if revision.labels else ""
        if revision.id in heads_of(graph):
            marks += " (head)"
        elif revision.id not in followed:
            marks += " (effective head)"
        marks += " (branchpoint)" if followed.count(revision.id) > 1 else ""
        marks += " (mergepoint)" if len(revision.after) > 1 else ""
        lines.append(f"{', '.join(revision.after) or '<base>'}{needs} -> {revision.id}{marks}, {revision.doc}")
    return "".join(f"{line}\n" for line in lines)


@given(graphs(), st.sampled_from(["", INFO, "a note (header)\n", "\n"]))
def test_any_history_is_read_whatever_else_is_printed(graph: list[Written], noise: str) -> None:
    history = _revision.parse_history(noise + printed(graph) + noise)
    assert set(history.heads) == heads_of(graph)
    assert list(history.revisions.values()) == [
        Revision(item.id, (*item.after, *item.depends_on), item.doc) for item in graph
    ]


@given(graphs(), st.data())
def test_what_is_pending_and_what_is_undone_are_each_others_reverse(graph: list[Written], data: st.DataObject) -> None:
    history = _revision.parse_history(printed(graph))
    if not graph:
        return
    target = data.draw(st.sampled_from([item.id for item in graph]))
    way = _revision.pending(history, [], target)
    assert way[-1].id == target
    done: set[str] = set()
    for revision in way:
        assert set(revision.parents) <= done
        done.add(revision.id)
    assert _revision.undone(history, [target], "") == way[::-1]
