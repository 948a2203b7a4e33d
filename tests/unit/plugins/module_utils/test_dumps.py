# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps on disk: which count as there, which go, which are refused."""

from __future__ import annotations

import fcntl
import hashlib
import typing as t
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.shipshape.stack.plugins.module_utils import _dumps
from ansible_collections.shipshape.stack.plugins.module_utils._dumps import Dump, Keep
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

START = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)


def dump(moment: datetime, kind: str = "scheduled", content: bytes = b"PGDMP") -> Dump:
    return Dump(
        name=f"shop-{moment.strftime('%Y%m%dT%H%M%SZ')}-{kind}",
        kind=kind,
        database="shop",
        created=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        seconds=0.5,
        revision="0003",
        version="17.2",
        image="postgres:17",
        tables={"public.item": 3},
    )


def write(directory: Path, item: Dump, content: bytes = b"PGDMP") -> Dump:
    (directory / f"{item.name}.dump").write_bytes(content)
    (directory / f"{item.name}.globals.sql").write_text("")
    (directory / f"{item.name}.json").write_text(_dumps.record_text(item))
    return item


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    item = write(tmp_path, dump(START))
    assert _dumps.listed(tmp_path) == [item]


def test_dump_without_its_data_or_with_a_torn_record_is_none(tmp_path: Path) -> None:
    whole, gone, torn = (write(tmp_path, dump(START + timedelta(days=day))) for day in range(3))
    (tmp_path / f"{gone.name}.dump").unlink()
    record = tmp_path / f"{torn.name}.json"
    record.write_text(record.read_text()[:-20])
    assert _dumps.listed(tmp_path) == [whole]


def test_newest_is_chosen_unless_one_is_named(tmp_path: Path) -> None:
    old, new = (write(tmp_path, dump(START + timedelta(days=day))) for day in range(2))
    assert _dumps.choose(tmp_path, "", "shop") == new
    assert _dumps.choose(tmp_path, old.name, "shop") == old
    assert _dumps.choose(tmp_path, f"/elsewhere/{old.name}.dump", "shop") == old


def test_dump_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(StackError) as raised:
        _dumps.choose(tmp_path, "", "shop")
    assert "playbooks/backup.yml" in raised.value.fix
    item = write(tmp_path, dump(START))
    for wanted, database in (("nowhere", "shop"), (item.name, "other")):
        with pytest.raises(StackError) as raised:
            _dumps.choose(tmp_path, wanted, database)
    with pytest.raises(StackError) as raised:
        _dumps.choose(tmp_path, "nowhere", "shop")
    assert item.name in raised.value.evidence


@pytest.mark.parametrize("content", [b"PGDM", b"PGDMPx", b"PGDMQ", b""])
def test_file_that_is_not_what_was_written_is_refused(tmp_path: Path, content: bytes) -> None:
    item = write(tmp_path, dump(START))
    _dumps.check(tmp_path, item)
    (tmp_path / f"{item.name}.dump").write_bytes(content)
    with pytest.raises(StackError) as raised:
        _dumps.check(tmp_path, item)
    assert raised.value.cause == f"The dump {item.name} is not what was written."


def test_two_dumps_of_one_second_get_two_names(tmp_path: Path) -> None:
    first = _dumps.name(tmp_path, "shop", "manual", START)
    (tmp_path / f"{first}.dump.partial").touch()
    second = _dumps.name(tmp_path, "shop", "manual", START)
    assert (first, second) == ("shop-20260101T030000Z-manual", "shop-20260101T030001Z-manual")


def test_what_killed_runs_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    whole = write(tmp_path, dump(START))
    left = [
        "shop-20260102T030000Z-manual.dump.partial",
        "shop-20260103T030000Z-manual.dump",
        "shop-20260103T030000Z-manual.globals.sql",
    ]
    stays = ["shop-20260104T030000Z-manual.dump.partial", "of-my-own.dump", "notes.globals.sql"]
    for name in (*left, *stays):
        (tmp_path / name).touch()
    with (tmp_path / stays[0]).open("rb") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        assert sorted(_dumps.clear_partial(tmp_path)) == left
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {*stays, *(f"{whole.name}{suffix}" for suffix in (".dump", ".globals.sql", ".json"))}


def test_year_of_nightly_dumps_leaves_days_weeks_and_months() -> None:
    nights = [dump(START + timedelta(days=day)) for day in range(365)]
    gone = _dumps.outdated(nights, Keep(last=3, daily=7, weekly=4, monthly=6))
    kept = [item.created[:10] for item in nights if item not in gone]
    assert kept == [
        *("2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30"),
        *("2026-12-13", "2026-12-20", "2026-12-25", "2026-12-26", "2026-12-27"),
        *("2026-12-28", "2026-12-29", "2026-12-30", "2026-12-31"),
    ]


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=40), st.tuples(*[st.integers(0, 9)] * 4))
def test_thinning_out_again_changes_nothing_and_the_newest_stays(hours: list[int], numbers: t.Any) -> None:
    keep = Keep(*numbers)
    dumps = [dump(START + timedelta(hours=hour)) for hour in hours]
    gone = _dumps.outdated(dumps, keep)
    kept = [item for item in dumps if item not in gone]
    assert _dumps.outdated(kept, keep) == []
    assert not dumps or max(dumps, key=lambda item: item.created) in kept
    assert len(kept) <= max(keep.last, 1) + keep.daily + keep.weekly + keep.monthly


def test_removed_dump_leaves_nothing(tmp_path: Path) -> None:
    item = write(tmp_path, dump(START))
    _dumps.remove(tmp_path, item)
    _dumps.remove(tmp_path, replace(item, name="never-there"))
    assert list(tmp_path.iterdir()) == []
