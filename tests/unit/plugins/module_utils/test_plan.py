# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: what changes, how and why."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
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


def applied(
    desired: t.Sequence[Desired], actual: t.Sequence[Container], changes: t.Sequence[Change]
) -> list[Container]:
    """Do what Compose does with the plan, and let what was started become what it should be."""
    fresh = (f"new{number}" for number in itertools.count())
    gone = {item for change in changes for item in change.replaces}
    kept = [item for item in actual if item.id not in gone]
    result = [item for item in kept if item.service not in {wanted.service for wanted in desired}]
    actions = {change.service: change.action for change in changes}
    for wanted in desired:
        own = [item for item in kept if item.service == wanted.service]
        if actions[wanted.service] != "unchanged":
            own = own[: wanted.replicas]
            own += [
                Container(
                    next(fresh), wanted.service, config_hash=wanted.config_hash, image=wanted.image_id or "pulled"
                )
                for _missing in range(wanted.replicas - len(own))
            ]
            own = [replace(item, status="running", health="none", exit_code=0) for item in own]
        result += own
    return result


SERVICES = ["web", "db", "job"]
HASHES = st.sampled_from(["c1", "c2"])
IMAGES = st.sampled_from(["i1", "i2"])
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
        st.sampled_from(["running", "exited", "created", "restarting", "paused"]),
        st.sampled_from(["none", "starting", "healthy", "unhealthy"]),
        st.sampled_from([0, 1]),
        HASHES,
        IMAGES,
    ),
    unique_by=lambda item: item.id,
    max_size=6,
)


@given(DESIRED, ACTUAL, st.booleans())
def test_applying_the_plan_leaves_nothing_to_do(
    desired: list[Desired], actual: list[Container], remove_orphans: bool
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans)
    again = _plan.plan(desired, applied(desired, actual, changes), remove_orphans=remove_orphans)
    assert _plan.settled(again)


@given(DESIRED, ACTUAL)
def test_every_change_has_a_reason(desired: list[Desired], actual: list[Container]) -> None:
    for change in _plan.plan(desired, actual, remove_orphans=True):
        assert bool(change.reasons) == (change.action != "unchanged")
