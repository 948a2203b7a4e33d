# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases and images go, and which release a rollback leads to: checked on arbitrary histories, too."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.shipshape.stack.plugins.module_utils import _retention
from ansible_collections.shipshape.stack.plugins.module_utils._dumps import Dump
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import Broken, Release
from ansible_collections.shipshape.stack.plugins.module_utils._retention import Image
from ansible_collections.shipshape.stack.plugins.module_utils._revision import Revision

NOW = datetime(2026, 3, 1, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)


def a_release(day: int, outcome: str = "deployed", **changes: t.Any) -> Release:
    """Return the release made on a day of the year 2026; everything of it differs from the other days'."""
    made = START + timedelta(days=day - 1)
    release = Release(
        id=f"{made:%Y%m%dT%H%M%SZ}-{day:010}",
        content_hash=f"{day:064}",
        created=f"{made:%Y-%m-%dT%H:%M:%SZ}",
        created_by="shop",
        images={"backend": f"shop/backend:{day}", "frontend": f"shop/frontend:{day}"},
        outcome=outcome,
        revision=f"{day:04}",
        deployed=f"{made:%Y-%m-%dT%H:%M:%SZ}" if outcome == "deployed" else "",
    )
    return replace(release, **changes)


def days(releases: t.Iterable[Release]) -> list[int]:
    return [int(release.id.split("-")[1]) for release in releases]


def outdated(releases: list[Release], active: int, *, keep: int = 5, keep_days: int = 0) -> list[int]:
    found = _retention.outdated(releases, a_release(active).id, keep=keep, keep_days=keep_days, now=NOW)
    return days(found)


def target(releases: list[Release], active: int) -> int:
    found = _retention.rollback_target(releases, a_release(active).id)
    return days([found])[0] if found else 0


def test_newest_are_kept() -> None:
    assert outdated([a_release(day) for day in range(1, 6)], 5, keep=3) == [2, 1]


def test_current_one_counts_and_stays_however_old() -> None:
    releases = [a_release(day) for day in range(1, 6)]
    assert outdated(releases, 1, keep=3) == [3, 2]
    assert outdated(releases, 1, keep=0) == [5, 4, 3, 2]


@pytest.mark.parametrize("keep", [-1, 0, 1, 2])
def test_current_one_and_the_one_before_it_always_stay(keep: int) -> None:
    assert outdated([a_release(day) for day in range(1, 6)], 5, keep=keep, keep_days=1) == [3, 2, 1]


def test_failed_releases_do_not_push_deployed_ones_out() -> None:
    releases = [a_release(day, "failed" if day > 2 else "deployed") for day in range(1, 6)]
    assert outdated(releases, 2, keep=2) == [4, 3]


def test_old_ones_go_although_there_is_room() -> None:
    releases = [a_release(day) for day in (1, 20, 31, 32, 58, 59)]
    # NOW is day 60, at midnight.
    assert outdated(releases, 59, keep=9, keep_days=29) == [20, 1]
    assert outdated(releases, 59, keep=9, keep_days=28) == [31, 20, 1]
    assert outdated(releases, 59, keep=9) == []


def test_age_counts_from_the_last_deploy() -> None:
    back = a_release(2, deployed="2026-02-27T00:00:00Z")
    assert outdated([a_release(1), back, a_release(3), a_release(58), a_release(59)], 59, keep_days=10) == [3, 1]


def test_failed_one_goes_with_age_too() -> None:
    assert outdated([a_release(1, "failed"), a_release(59)], 59, keep_days=10) == [1]


def test_rollback_leads_to_the_deployed_one_before_the_current() -> None:
    releases = [a_release(1), a_release(2), a_release(3, "failed"), a_release(4), a_release(5)]
    assert target(releases, 4) == 2
    assert target(releases, 1) == 0


def test_rollback_does_not_lead_back_to_the_one_it_left() -> None:
    assert target([a_release(1), a_release(2, deployed="2026-02-01T00:00:00Z"), a_release(3)], 2) == 1


def test_rollback_passes_over_the_same_content() -> None:
    again = a_release(3, content_hash=a_release(1).content_hash)
    assert target([a_release(1), a_release(2), again], 3) == 2
    assert target([a_release(1), again], 3) == 0


def test_rollback_of_a_current_one_without_record_leads_to_an_earlier_one() -> None:
    assert target([a_release(1), a_release(2)], 3) == 2


HISTORIES = st.lists(
    st.builds(
        a_release,
        st.integers(1, 59),
        st.sampled_from(["deployed", "failed", "staged"]),
        content_hash=st.sampled_from("abc"),
        images=st.dictionaries(
            st.sampled_from(["backend", "frontend"]),
            st.sampled_from([f"shop/{name}:{tag}" for name in ("backend", "frontend") for tag in range(4)]),
        ),
    ),
    unique_by=lambda release: release.id,
    min_size=1,
)


@given(HISTORIES, st.data(), st.integers(-1, 10), st.integers(-1, 60))
def test_what_a_history_keeps(history: list[Release], data: st.DataObject, keep: int, keep_days: int) -> None:
    active = data.draw(st.sampled_from(history))
    gone = _retention.outdated(history, active.id, keep=keep, keep_days=keep_days, now=NOW)
    kept = [release for release in history if release not in gone]
    before = _retention.rollback_target(history, active.id)

    assert len(gone) + len(kept) == len(history)
    assert active in kept
    assert before is None or (before in kept and before.id < active.id and before.outcome == "deployed")
    # The target is the same when the others are gone.
    assert _retention.rollback_target(kept, active.id) == before
    # Nothing more goes a second time.
    assert _retention.outdated(kept, active.id, keep=keep, keep_days=keep_days, now=NOW) == []

    others = [release for release in kept if release not in (active, before)]
    assert len([release for release in others if release.outcome == "deployed"]) <= max(keep, 0)
    assert len([release for release in others if release.outcome != "deployed"]) <= 1
    if keep_days > 0:
        assert all(datetime.fromisoformat(release.created) >= NOW - timedelta(days=keep_days) for release in others)
    # A newer release never goes before an older one of its kind.
    for one in gone:
        for other in others:
            assert (one.outcome == "deployed") != (other.outcome == "deployed") or one.id < other.id


@given(HISTORIES, st.data())
def test_image_of_a_kept_release_never_goes(history: list[Release], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(history), unique_by=lambda release: release.id))
    kept = [release for release in history if release not in gone]
    images = data.draw(
        st.lists(
            st.builds(
                Image,
                st.sampled_from([f"shop/{name}:{tag}" for name in ("backend", "frontend") for tag in range(6)]),
                st.integers(-10, 70).map(lambda day: START + timedelta(days=day)),
            ),
            unique_by=lambda image: image.tag,
        )
    )
    spared = data.draw(st.sets(st.sampled_from([image.tag for image in images]))) if images else set()
    going = _retention.unused_images(images, kept=kept, gone=gone, spared=spared)

    named = {tag for release in kept for tag in release.images.values()}
    dropped = {tag for release in gone for tag in release.images.values()}
    assert not set(going) & (named | spared)
    assert set(going) <= {image.tag for image in images}
    assert {image.tag for image in images} & dropped - named - spared <= set(going)
    for image in images:
        if image.tag in going and image.tag not in dropped:
            assert all(image.since < datetime.fromisoformat(release.created) for release in kept)


def test_leftovers_go_when_they_are_older_than_every_kept_release() -> None:
    images = [Image(f"shop/backend:{day}", START + timedelta(days=day - 1)) for day in (3, 4, 5, 7)]
    kept = [a_release(4), a_release(6)]
    assert _retention.unused_images(images, kept=kept, gone=[], spared=()) == ["shop/backend:3"]


def test_without_a_kept_release_nothing_is_left_over() -> None:
    assert _retention.unused_images([Image("shop/backend:3", START)], kept=[], gone=[], spared=()) == []


@pytest.mark.parametrize(
    ("tag", "repository"),
    [
        ("shop/backend:1", "shop/backend"),
        ("localhost:5000/shop/backend:1", "localhost:5000/shop/backend"),
        ("localhost:5000/shop/backend", "localhost:5000/shop/backend"),
        ("backend", "backend"),
    ],
)
def test_repository_is_what_comes_before_the_tag(tag: str, repository: str) -> None:
    assert _retention.repositories([a_release(1, images={"backend": tag})]) == {repository}


def test_images_of_a_compose_file_are_found_in_any_quotes() -> None:
    text = "services:\n  a:\n    image: shop/a:1\n  b: {}\n    image: 'shop/b:2'\n    image: \"shop/c:3\"\n#image: no\n"
    assert _retention.named_in(text) == {"shop/a:1", "shop/b:2", "shop/c:3"}


ENTRIES: list[Release | Broken] = [
    a_release(5),
    a_release(4, "failed"),
    Broken("20260103T000000Z-0000000003", "Expecting value"),
    a_release(2, "failed", deployed="2026-01-02T00:00:00Z"),
    a_release(1),
]
ACTIVE = a_release(5).id


@pytest.mark.parametrize(
    ("wanted", "day"),
    [("", 1), (a_release(1).id, 1), ("20260101", 1), ("20260102", 2), (ACTIVE, 5), ("20260105T", 5)],
)
def test_release_is_chosen_by_id_or_its_beginning(wanted: str, day: int) -> None:
    assert days([_retention.choose(ENTRIES, ACTIVE, wanted)]) == [day]


def test_whole_id_is_not_ambiguous_though_another_begins_with_it() -> None:
    longer = a_release(5, id=f"{a_release(1).id}0")
    assert _retention.choose([longer, a_release(1)], longer.id, a_release(1).id) == a_release(1)


@pytest.mark.parametrize(
    ("wanted", "cause"),
    [
        ("20260107", "There is no release 20260107."),
        ("202601", "202601 is the beginning of 5 releases."),
        ("20260104", f"The release {a_release(4).id} never was deployed: its outcome is failed."),
        ("20260103", "The record of the release 20260103T000000Z-0000000003 cannot be read."),
    ],
)
def test_refusal_names_the_releases_there_are(wanted: str, cause: str) -> None:
    with pytest.raises(StackError) as raised:
        _retention.choose(ENTRIES, ACTIVE, wanted)
    assert raised.value.cause == cause
    assert f"{ACTIVE} (current): deployed 2026-01-05T00:00:00Z, revision 0005" in raised.value.evidence
    assert "20260103T000000Z-0000000003: broken" in raised.value.evidence
    assert raised.value.fix


def test_without_an_earlier_release_there_is_nowhere_to_go() -> None:
    with pytest.raises(StackError, match="There is no deployed release before the current one"):
        _retention.choose(ENTRIES, a_release(1).id, "")
    with pytest.raises(StackError, match="No release is deployed") as raised:
        _retention.choose([], "", "")
    assert raised.value.evidence == "There are no releases."


UNDONE = (Revision("0003", (), "prices"), Revision("0002", (), ""))
DUMP = Dump("shop-1-migration", "migration", "shop", "2026-01-01T00:00:00Z", 1, "", 1, "0001", "17", "", {})
Step = _retention.DatabaseStep


def step(revision: str, wish: str = "", *, complaint: str = "", dump: Dump | None = DUMP, known: str = "0001") -> t.Any:
    release = a_release(1, revision=known)
    return _retention.database_step(release, revision, wish, undone=UNDONE, complaint=complaint, dump=dump)


@pytest.mark.parametrize("wish", ["", "downgrade", "restore"])
def test_release_that_knows_the_revision_needs_nothing(wish: str) -> None:
    assert step("0001", wish) is None
    assert step("", wish, known="") is None


def test_way_that_is_asked_for_is_taken() -> None:
    assert step("0003", "downgrade") == Step("downgrade", "0001")
    assert step("0003", "restore") == Step("restore", "0001", "shop-1-migration")


@pytest.mark.parametrize(("revision", "shown"), [("0003", "0003"), ("", "(empty)"), ("0001,0002", "0001,0002")])
def test_another_revision_is_refused_with_both_and_what_can_be_done(revision: str, shown: str) -> None:
    with pytest.raises(StackError) as raised:
        step(revision)
    assert raised.value.evidence.splitlines() == [
        f"In force: {shown}. The release was deployed with: 0001.",
        "rollback_database=downgrade: takes back 0003 (prices), 0002, in the image that knows the way, after a dump.",
        "rollback_database=restore: puts shop-1-migration in place, of 2026-01-01T00:00:00Z; "
        "what was written since is put aside.",
    ]


def test_way_that_is_not_there_is_refused_with_the_reason() -> None:
    for wish, lacking in (("downgrade", {"complaint": "No way"}), ("restore", {"dump": None})):
        with pytest.raises(StackError) as raised:
            step("0003", wish, **t.cast("t.Any", lacking))
        reason = "No way." if wish == "downgrade" else "no dump at revision 0001 is here."
        assert f"rollback_database={wish}: {reason}" in raised.value.evidence


def test_release_without_revision_is_refused_where_the_database_has_one() -> None:
    with pytest.raises(StackError, match="does not say which revision"):
        step("0002", "downgrade", known="")


def test_images_that_are_gone_are_named_with_what_can_be_done() -> None:
    error = _retention.images_are_gone(a_release(1), {"backend": "shop/backend:1"}, ["x", "y"])
    assert error.evidence == "backend: shop/backend:1"
    assert error.fix.endswith("These have theirs: x, y.")
    assert "These" not in _retention.images_are_gone(a_release(1), {"backend": "shop/backend:1"}, []).fix
