# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: what changes, how and why."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.shipshape.stack.plugins.module_utils import _plan
from ansible_collections.shipshape.stack.plugins.module_utils._plan import Change, Desired


@dataclass(frozen=True)
class Container:
    id: str
    service: str = "web"
    status: str = "running"
    health: str = "none"
    exit_code: int = 0
    config_hash: str = "c1"
    image: str = "i1"


WEB = Desired("web", "c1", "i1", 1, may_finish=False)


def only_change(desired: Desired, *actual: Container) -> Change:
    [change] = _plan.plan([desired], actual, remove_orphans=True)
    return change


def test_running_as_declared_is_unchanged() -> None:
    assert only_change(WEB, Container("a")) == Change("web", "unchanged", ())


def test_healthy_as_declared_is_unchanged() -> None:
    assert only_change(WEB, Container("a", health="healthy")).action == "unchanged"


def test_missing_container_is_created() -> None:
    assert only_change(WEB) == Change("web", "create", ("no container yet",))


def test_other_configuration_recreates() -> None:
    assert only_change(WEB, Container("a", config_hash="c0")) == Change(
        "web", "recreate", ("configuration changed",), ("a",)
    )


def test_other_image_under_the_same_tag_recreates() -> None:
    assert only_change(WEB, Container("a", image="i0")) == Change("web", "recreate", ("image changed",), ("a",))


def test_image_that_is_not_here_yet_is_no_reason_to_recreate() -> None:
    assert only_change(replace(WEB, image_id=None), Container("a", image="i0")).action == "unchanged"


def test_only_the_containers_that_differ_are_replaced() -> None:
    change = only_change(replace(WEB, replicas=2), Container("a"), Container("b", config_hash="c0"))
    assert (change.action, change.replaces) == ("recreate", ("b",))


def test_each_reason_is_told_once() -> None:
    change = only_change(replace(WEB, replicas=2), Container("a", config_hash="c0"), Container("b", config_hash="c0"))
    assert change.reasons == ("configuration changed",)


def test_too_few_replicas_scale_up() -> None:
    change = only_change(replace(WEB, replicas=3), Container("a"))
    assert change == Change("web", "scale", ("1 of 3 replicas",), ())


def test_too_many_replicas_scale_down_from_the_end() -> None:
    change = only_change(WEB, Container("a"), Container("b"))
    assert change == Change("web", "scale", ("2 of 1 replicas",), ("b",))


def test_no_replicas_wanted_removes_all() -> None:
    change = only_change(replace(WEB, replicas=0), Container("a"))
    assert change == Change("web", "scale", ("0 replicas wanted",), ("a",))
    assert only_change(replace(WEB, replicas=0)).action == "unchanged"


@pytest.mark.parametrize("status", ["exited", "created", "restarting", "paused", "dead"])
def test_container_that_does_not_run_is_started(status: str) -> None:
    change = only_change(WEB, Container("a", status=status, exit_code=1))
    assert change == Change("web", "start", (f"container is {status} (exit code 1)",))


def test_finished_one_shot_is_unchanged() -> None:
    assert only_change(replace(WEB, may_finish=True), Container("a", status="exited")).action == "unchanged"


def test_failed_one_shot_is_started_again() -> None:
    change = only_change(replace(WEB, may_finish=True), Container("a", status="exited", exit_code=2))
    assert change.action == "start"


def test_service_that_should_run_is_started_though_it_ended_with_0() -> None:
    assert only_change(WEB, Container("a", status="exited")).action == "start"


@pytest.mark.parametrize("health", ["starting", "unhealthy"])
def test_service_that_is_not_healthy_is_waited_for(health: str) -> None:
    assert only_change(WEB, Container("a", health=health)) == Change("web", "wait", (f"health is {health}",))


def test_waiting_changes_nothing_but_is_not_settled() -> None:
    changes = [only_change(WEB, Container("a", health="starting"))]
    assert not _plan.changes_something(changes)
    assert not _plan.settled(changes)


def test_orphans_are_removed_last_and_only_on_request() -> None:
    actual = [Container("z", service="old"), Container("y", service="ancient"), Container("a")]
    changes = _plan.plan([WEB], actual, remove_orphans=True)
    assert [(change.service, change.action, change.replaces) for change in changes] == [
        ("web", "unchanged", ()),
        ("ancient", "remove", ("y",)),
        ("old", "remove", ("z",)),
    ]
    assert _plan.settled(_plan.plan([WEB], actual, remove_orphans=False))


def compose_up(
    desired: t.Sequence[Desired],
    actual: t.Sequence[Container],
    changes: t.Sequence[Change],
    *,
    remove_orphans: bool,
    obsolete_last: bool,
) -> list[Container]:
    """Do what `docker compose up` does, told of the services that change (`_rollout.apply`); it never sees the plan.

    Of more containers than wanted, Compose keeps the first: older releases count the obsolete ones first, newer last.
    """
    fresh = (f"new{number}" for number in itertools.count())
    told = {change.service for change in changes if change.action not in ("unchanged", "wait", "remove")}
    known = {wanted.service for wanted in desired}
    after = [item for item in actual if item.service not in known and not remove_orphans]
    for wanted in desired:
        own = [item for item in actual if item.service == wanted.service]
        if wanted.service not in told:
            after += own
            continue
        # A service whose image is not here yet: it is pulled, and the same one is found.
        image = wanted.image_id or (own[0].image if own else "pulled")
        new = Container("", wanted.service, config_hash=wanted.config_hash, image=image)
        up_to_date = [
            item.config_hash == new.config_hash and (wanted.image_id is None or item.image == image) for item in own
        ]
        order = sorted(range(len(own)), key=lambda number: (up_to_date[number] != obsolete_last, number))
        slots = [own[number] if up_to_date[number] else replace(new, id=next(fresh)) for number in order]
        slots += [replace(new, id=next(fresh)) for _missing in range(wanted.replicas - len(slots))]
        after += [
            item if item.status == "running" else replace(item, status="running", health="starting")
            for item in slots[: wanted.replicas]
        ]
    return after


def time_passes(actual: t.Sequence[Container]) -> list[Container]:
    """Return the containers of a sound release some minutes later."""
    sick = ("starting", "unhealthy")
    return [replace(item, health="healthy") if item.health in sick else item for item in actual]


SERVICES = ["web", "db", "job"]
# Most of what runs is as it was declared.
HASHES = st.sampled_from(["c1", "c1", "c1", "c2"])
IMAGES = st.sampled_from(["i1", "i1", "i1", "i2"])
DESIRED = st.lists(
    st.builds(Desired, st.sampled_from(SERVICES), HASHES, st.none() | IMAGES, st.integers(0, 3), st.booleans()),
    unique_by=lambda wanted: wanted.service,
    max_size=3,
)
ACTUAL = st.lists(
    st.builds(
        Container,
        st.uuids().map(str),
        st.sampled_from([*SERVICES, "old"]),
        st.sampled_from(["running", "running", "running", "exited", "exited", "created", "restarting", "dead"]),
        st.sampled_from(["none", "starting", "healthy", "unhealthy"]),
        st.sampled_from([0, 0, 1]),
        HASHES,
        IMAGES,
    ),
    unique_by=lambda item: item.id,
    max_size=6,
)
CASES = (DESIRED, ACTUAL, st.booleans(), st.booleans())


def is_as_declared(desired: t.Sequence[Desired], actual: t.Sequence[Container], *, remove_orphans: bool) -> bool:
    """Say, of containers alone, whether this is what was declared."""

    def is_sound(item: Container, wanted: Desired) -> bool:
        is_up = item.status == "running" and item.health in ("none", "healthy")
        is_done = wanted.may_finish and (item.status, item.exit_code) == ("exited", 0)
        return (is_up or is_done) and item.config_hash == wanted.config_hash and wanted.image_id in (None, item.image)

    by_service = {wanted.service: [item for item in actual if item.service == wanted.service] for wanted in desired}
    return all(
        len(by_service[wanted.service]) == wanted.replicas
        and all(is_sound(item, wanted) for item in by_service[wanted.service])
        for wanted in desired
    ) and (not remove_orphans or all(item.service in by_service for item in actual))


@given(*CASES)
@example([replace(WEB, may_finish=True)], [Container("a", status="exited")], True, True)
def test_applying_the_plan_leaves_nothing_to_do(
    desired: list[Desired], actual: list[Container], remove_orphans: bool, obsolete_last: bool
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans)
    assert _plan.settled(changes) == is_as_declared(desired, actual, remove_orphans=remove_orphans)
    up = compose_up(desired, actual, changes, remove_orphans=remove_orphans, obsolete_last=obsolete_last)
    again = _plan.plan(desired, up, remove_orphans=remove_orphans)
    assert not _plan.changes_something(again)
    assert _plan.settled(again) == is_as_declared(desired, up, remove_orphans=remove_orphans)
    later = time_passes(up)
    assert is_as_declared(desired, later, remove_orphans=remove_orphans)
    assert _plan.settled(_plan.plan(desired, later, remove_orphans=remove_orphans))


@given(*CASES)
def test_plan_says_truly_what_goes_and_what_stays(
    desired: list[Desired], actual: list[Container], remove_orphans: bool, obsolete_last: bool
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans)
    up = compose_up(desired, actual, changes, remove_orphans=remove_orphans, obsolete_last=obsolete_last)
    actions = {change.service: change.action for change in changes}
    left = {item.id for item in up}
    gone = {item.id for item in actual if item.id not in left}
    said = {item for change in changes for item in change.replaces}
    assert said <= gone
    # A service that is recreated and scaled down at once: which of those up to date go is Compose's choice.
    assert all(actions[item.service] == "recreate" for item in actual if item.id in gone - said)
    came = {item.service for item in up if item.id not in {before.id for before in actual}}
    assert all(actions[service] in ("create", "recreate", "scale") for service in came)
    touched = sorted(map(repr, up)) != sorted(map(repr, actual))
    assert touched == _plan.changes_something(changes)


@given(DESIRED, ACTUAL, st.booleans())
def test_plan_names_each_service_once_and_why_it_changes(
    desired: list[Desired], actual: list[Container], remove_orphans: bool
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans)
    known = [wanted.service for wanted in desired]
    orphans = sorted({item.service for item in actual} - set(known)) if remove_orphans else []
    assert [change.service for change in changes] == known + orphans
    assert all(bool(change.reasons) == (change.action != "unchanged") for change in changes)
