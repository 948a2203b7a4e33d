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
from ansible_collections.shipshape.stack.plugins.module_utils._strategy import Strategy


@dataclass(frozen=True)
class Container:
    id: str
    service: str = "web"
    status: str = "running"
    health: str = "none"
    exit_code: int = 0
    config_hash: str = "c1"
    image: str = "i1"
    ports: frozenset[str] = frozenset()
    created: float = 0.0
    started: float = 0.0


WEB = Desired("web", "c1", "i1", 1, may_finish=False)


def only_change(desired: Desired, *actual: Container) -> Change:
    [change] = _plan.plan([desired], actual, remove_orphans=True)
    return change


def test_running_as_declared_is_unchanged() -> None:
    assert only_change(WEB, Container("a")) == Change("web", "unchanged", ())


def test_healthy_as_declared_is_unchanged() -> None:
    assert only_change(WEB, Container("a", health="healthy")).action == "unchanged"


def test_missing_container_is_created() -> None:
    assert only_change(WEB) == Change("web", "create", ("no container yet",), create=1)


def test_other_configuration_recreates() -> None:
    assert only_change(WEB, Container("a", config_hash="c0")) == Change(
        "web", "recreate", ("configuration changed",), create=1, replaces=("a",), why="recreate: asked for"
    )


def test_rolling_service_is_rolled_and_says_why() -> None:
    rolling = replace(WEB, strategy=Strategy("rolling", "the edge switches"))
    change = only_change(rolling, Container("a", config_hash="c0"))
    assert (change.action, change.create, change.why) == ("roll", 1, "rolling: the edge switches")


def test_other_image_under_the_same_tag_recreates() -> None:
    change = only_change(WEB, Container("a", image="i0"))
    assert (change.action, change.reasons, change.replaces) == ("recreate", ("image changed",), ("a",))


def test_other_image_under_another_tag_is_named_as_the_reason() -> None:
    assert only_change(WEB, Container("a", image="i0", config_hash="c0")).reasons == ("image changed",)


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
    assert change == Change("web", "create", ("1 of 3 replicas",), create=2)


def test_too_many_replicas_scale_down_from_the_end() -> None:
    change = only_change(WEB, Container("a"), Container("b"))
    assert change == Change("web", "remove", ("2 of 1 replicas",), replaces=("b",))


def test_no_replicas_wanted_removes_all() -> None:
    change = only_change(replace(WEB, replicas=0), Container("a"))
    assert change == Change("web", "remove", ("0 replicas wanted",), replaces=("a",))
    assert only_change(replace(WEB, replicas=0)).action == "unchanged"


@pytest.mark.parametrize("status", ["exited", "created", "paused"])
def test_container_that_does_not_run_is_started(status: str) -> None:
    change = only_change(WEB, Container("a", status=status, exit_code=1))
    said = f"container is {status}" + (" (exit code 1)" if status == "exited" else "")
    assert change == Change("web", "start", (said,), starts=("a",))


def test_container_that_restarts_is_waited_for() -> None:
    change = only_change(WEB, Container("a", status="restarting"))
    assert change == Change("web", "unchanged", ("container is restarting",), waits=True)


def test_dead_container_is_replaced() -> None:
    change = only_change(WEB, Container("a", status="dead"))
    assert (change.action, change.reasons, change.create) == ("recreate", ("container is dead",), 1)


def test_container_whose_mounted_file_changed_is_replaced() -> None:
    [change] = _plan.plan([WEB], [Container("a")], remove_orphans=True, outdated={"a": "/etc/web.conf changed"})
    assert (change.action, change.reasons) == ("recreate", ("/etc/web.conf changed",))


def test_service_follows_what_it_shares_or_restarts_with_whatever_the_order() -> None:
    led = replace(WEB, follows=("db",))
    db = Desired("db", "c2", "i1", 1, may_finish=False)
    changes = _plan.plan([led, db], [Container("a"), Container("d", service="db")], remove_orphans=True)
    assert [(change.action, change.reasons) for change in changes] == [
        ("recreate", ("db changes, which it has to follow",)),
        ("recreate", ("configuration changed",)),
    ]


def test_what_a_killed_run_left_is_used() -> None:
    old, new = Container("a", config_hash="c0"), Container("b", status="created")
    change = only_change(WEB, old, new)
    assert (change.action, change.create, change.starts, change.replaces) == ("recreate", 0, ("b",), ("a",))


def test_orphan_that_holds_a_port_goes_first() -> None:
    orphan = Container("z", service="old", ports=frozenset({"80/tcp"}))
    changes = _plan.plan([replace(WEB, ports=frozenset({"80/tcp"}))], [orphan], remove_orphans=True)
    assert [(change.service, change.action, change.replaces) for change in changes] == [
        ("web", "create", ("z",)),
        ("old", "remove", ()),
    ]


def test_container_a_killed_run_made_needs_the_orphans_port_as_well() -> None:
    orphan = Container("z", service="old", ports=frozenset({"80/tcp"}))
    made = Container("a", status="created", ports=frozenset({"80/tcp"}))
    changes = _plan.plan([replace(WEB, ports=frozenset({"80/tcp"}))], [orphan, made], remove_orphans=True)
    assert [(change.action, change.starts, change.replaces) for change in changes] == [
        ("start", ("a",), ("z",)),
        ("remove", (), ()),
    ]


@pytest.mark.parametrize("remove_orphans", [True, False])
def test_port_that_moves_to_another_service_is_free_before_it_is_taken(remove_orphans: bool) -> None:
    """An edge in front of what published its port itself until now."""
    edge = Desired("nginx", "c1", "i1", 1, may_finish=False, ports=frozenset({"80/tcp"}))
    before = Container("a", config_hash="c0", ports=frozenset({"80/tcp"}))
    changes = _plan.plan([WEB, edge], [before], remove_orphans=remove_orphans)
    assert [(change.service, change.create, change.replaces) for change in changes] == [
        ("web", 1, ("a",)),
        ("nginx", 1, ("a",)),
    ]


def test_port_of_a_container_that_stays_is_left_to_the_engine_to_complain_about() -> None:
    other = Container("z", service="old", ports=frozenset({"80/tcp"}))
    wanted = replace(WEB, ports=frozenset({"80/tcp"}))
    [change] = _plan.plan([wanted], [other], remove_orphans=False)
    assert (change.action, change.replaces) == ("create", ())
    other_protocol = replace(other, ports=frozenset({"80/udp"}))
    assert _plan.plan([wanted], [other_protocol], remove_orphans=True)[0].replaces == ()


def test_what_follows_is_renewed_with_new_containers_only() -> None:
    led = replace(WEB, follows=("db",))
    db = Desired("db", "c1", "i1", 1, may_finish=False)
    for status, action in (("exited", "unchanged"), ("paused", "unchanged"), ("dead", "recreate")):
        there = [Container("a"), Container("d", service="db", status=status)]
        assert _plan.plan([led, db], there, remove_orphans=True)[0].action == action, status
    # A leader made from nothing is new, too, and one that is not asked for does not change.
    assert _plan.plan([led, db], [Container("a")], remove_orphans=True)[0].action == "recreate"
    assert _plan.plan([led], [Container("a")], remove_orphans=True)[0].action == "unchanged"


@pytest.mark.parametrize(
    ("status", "created", "action"),
    [
        ("running", 2.0, "recreate"),
        ("paused", 2.0, "recreate"),
        ("running", 1.0, "unchanged"),
        ("created", 2.0, "start"),
    ],
)
def test_what_follows_is_renewed_when_its_leader_is_newer_than_its_start(
    status: str, created: float, action: str
) -> None:
    """A run was killed between the two. One that is only about to start needs no more than that."""
    led = replace(WEB, follows=("db",))
    db = Desired("db", "c1", "i1", 1, may_finish=False)
    there = [Container("a", status=status, started=1.0), Container("d", service="db", created=created)]
    [change, leader] = _plan.plan([led, db], there, remove_orphans=True)
    assert (change.action, leader.action) == (action, "unchanged")
    if action == "recreate":
        assert change.reasons == ("db was recreated, which it has to follow",)


def test_leader_that_goes_is_not_followed() -> None:
    led = replace(WEB, follows=("db",))
    db = Desired("db", "c1", "i1", 1, may_finish=False)
    leaders = [Container("d", service="db"), Container("e", service="db", created=2.0)]
    [change, leader] = _plan.plan([led, db], [Container("a", started=1.0), *leaders], remove_orphans=True)
    assert (change.action, leader.replaces) == ("unchanged", ("e",))


def test_following_is_handed_on() -> None:
    names = ["a", "b", "c"]
    chain = [
        Desired("a", "c1", "i1", 1, may_finish=False, follows=("b",)),
        Desired("b", "c1", "i1", 1, may_finish=False, follows=("c",)),
        Desired("c", "c2", "i1", 1, may_finish=False),
    ]
    changes = _plan.plan(chain, [Container(name, service=name) for name in names], remove_orphans=True)
    assert [(change.service, change.reasons) for change in changes] == [
        ("a", ("b changes, which it has to follow",)),
        ("b", ("c changes, which it has to follow",)),
        ("c", ("configuration changed",)),
    ]


def test_replica_that_runs_is_kept_before_one_that_does_not() -> None:
    change = only_change(WEB, Container("a", status="exited"), Container("b"))
    assert (change.action, change.starts, change.replaces) == ("remove", (), ("a",))
    change = only_change(WEB, Container("a", status="created"), Container("b", status="created"))
    assert (change.action, change.starts, change.replaces) == ("start", ("a",), ("b",))


def test_edge_is_reloaded_only_where_nothing_else_happens_to_it() -> None:
    idle, made = Change("nginx", "unchanged"), Change("nginx", "create", ("no container yet",), create=1)
    assert _plan.reload([idle], "nginx", ["configuration changed"])[0].action == "reload"
    assert _plan.reload([idle], "nginx", []) == [idle]
    assert _plan.reload([made], "nginx", ["configuration changed"]) == [made]


def test_finished_one_shot_is_unchanged() -> None:
    assert only_change(replace(WEB, may_finish=True), Container("a", status="exited")).action == "unchanged"


def test_failed_one_shot_is_started_again() -> None:
    change = only_change(replace(WEB, may_finish=True), Container("a", status="exited", exit_code=2))
    assert change.action == "start"


def test_service_that_should_run_is_started_though_it_ended_with_0() -> None:
    assert only_change(WEB, Container("a", status="exited")).action == "start"


@pytest.mark.parametrize("health", ["starting", "unhealthy"])
def test_service_that_is_not_healthy_is_waited_for(health: str) -> None:
    assert only_change(WEB, Container("a", health=health)) == Change(
        "web", "unchanged", (f"health is {health}",), waits=True
    )


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


def roll_out(
    desired: t.Sequence[Desired], actual: t.Sequence[Container], changes: t.Sequence[Change], *, steps: int = 3
) -> list[Container]:
    """Do what a rollout does of the plan: make, start, remove. With fewer ``steps`` it is killed before the next."""
    after = list(actual)
    by_name = {wanted.service: wanted for wanted in desired}
    fresh = (f"new{number}" for number in itertools.count())
    made = {change.service: [next(fresh) for _new in range(change.create)] for change in changes}
    for service, ids in made.items():
        for number in ids if steps > 0 else ():
            wanted = by_name[service]
            image = wanted.image_id or next((item.image for item in actual if item.service == service), "pulled")
            after.append(Container(number, service, "created", "none", 0, wanted.config_hash, image, created=100.0))
    started = {item for change in changes for item in (*change.starts, *made[change.service])} if steps > 1 else set()
    gone = {item for change in changes for item in change.replaces} if steps > 2 else set()
    return [
        replace(item, status="running", health="starting", started=101.0) if item.id in started else item
        for item in after
        if item.id not in gone
    ]


def time_passes(actual: t.Sequence[Container]) -> list[Container]:
    """Return the containers of a sound release some minutes later."""
    sick = ("starting", "unhealthy")
    return [
        replace(
            item,
            health="healthy" if item.health in sick else item.health,
            status="running" if item.status == "restarting" else item.status,
        )
        for item in actual
    ]


SERVICES = ["web", "db", "job"]
# Most of what runs is as it was declared.
HASHES = st.sampled_from(["c1", "c1", "c1", "c2"])
IMAGES = st.sampled_from(["i1", "i1", "i1", "i2"])
PORTS = st.sampled_from([frozenset(), frozenset(), frozenset({"80/tcp"}), frozenset({"80/tcp", "443/tcp"})])
DESIRED = st.lists(
    st.builds(
        Desired,
        st.sampled_from(SERVICES),
        HASHES,
        st.none() | IMAGES,
        st.integers(0, 3),
        st.booleans(),
        strategy=st.sampled_from([Strategy("rolling", "as asked for"), Strategy("recreate", "as asked for")]),
        ports=PORTS,
        # Compose refuses a cycle: a service follows those behind it in the alphabet only.
        follows=st.sampled_from([(), (), ("web",), ("job", "web")]),
    ).map(lambda item: replace(item, follows=tuple(name for name in item.follows if name > item.service))),
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
        PORTS,
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    unique_by=lambda item: item.id,
    max_size=6,
)
CASES = (DESIRED, ACTUAL, st.booleans())
# Which of the containers were made from files that differ by now.
OUTDATED = st.sets(st.integers(0, 5), max_size=2)


def why(actual: t.Sequence[Container], numbers: set[int]) -> dict[str, str]:
    return {item.id: "/etc/web.conf changed" for number, item in enumerate(actual) if number in numbers}


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


def is_left_behind(desired: t.Sequence[Desired], actual: t.Sequence[Container]) -> bool:
    """Say whether something runs since before a container was made that it has to follow."""
    return any(
        item.service == wanted.service and item.status == "running" and item.started < leader.created
        for wanted in desired
        for item in actual
        for leader in actual
        if leader.service in wanted.follows and leader.service in {other.service for other in desired}
    )


@given(*CASES, OUTDATED)
@example([replace(WEB, may_finish=True)], [Container("a", status="exited")], True, set())
def test_carrying_the_plan_out_leaves_nothing_to_do(
    desired: list[Desired], actual: list[Container], remove_orphans: bool, numbers: set[int]
) -> None:
    outdated = why(actual, numbers)
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans, outdated=outdated)
    known = {wanted.service for wanted in desired}
    declared = is_as_declared(desired, actual, remove_orphans=remove_orphans)
    assert _plan.settled(changes) == (
        declared
        and not any(item.service in known for item in actual if item.id in outdated)
        and not is_left_behind(desired, actual)
    )
    up = roll_out(desired, actual, changes)
    again = _plan.plan(desired, up, remove_orphans=remove_orphans, outdated=outdated)
    assert not _plan.changes_something(again)
    later = time_passes(up)
    assert is_as_declared(desired, later, remove_orphans=remove_orphans)
    assert _plan.settled(_plan.plan(desired, later, remove_orphans=remove_orphans, outdated=outdated))


@given(*CASES, OUTDATED, st.integers(0, 3), st.floats(0, 1))
def test_a_killed_rollout_removed_nothing_too_early_and_the_next_one_ends_the_work(
    desired: list[Desired],
    actual: list[Container],
    remove_orphans: bool,
    numbers: set[int],
    steps: int,
    retired: float,
) -> None:
    outdated = why(actual, numbers)
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans, outdated=outdated)
    left = roll_out(desired, actual, changes, steps=steps)
    if steps < 3:
        assert {item.id for item in actual} <= {item.id for item in left}
    else:
        # Killed while the old ones went: some are still there.
        kept = {item.id for item in left}
        gone = [item for item in actual if item.id not in kept]
        left = [*gone[round(retired * len(gone)) :], *left]
    renamed = {item.id: f"left-{item.id}" for item in left}
    outdated = {renamed[item]: said for item, said in outdated.items() if item in renamed}
    left = [replace(item, id=renamed[item.id]) for item in left]
    again = _plan.plan(desired, left, remove_orphans=remove_orphans, outdated=outdated)
    up = roll_out(desired, left, again)
    assert is_as_declared(desired, time_passes(up), remove_orphans=remove_orphans)
    assert not {item.id for item in up} & set(outdated) or not remove_orphans


@given(*CASES, OUTDATED)
def test_plan_says_truly_what_goes_and_what_comes(
    desired: list[Desired], actual: list[Container], remove_orphans: bool, numbers: set[int]
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans, outdated=why(actual, numbers))
    up = roll_out(desired, actual, changes)
    came = {item.service for item in up if item.id not in {before.id for before in actual}}
    assert came == {change.service for change in changes if change.create}
    assert all(change.action in ("create", "recreate", "roll") for change in changes if change.create)
    left = {item.id for item in up}
    said = [item for change in changes for item in change.replaces]
    assert set(said) == {item.id for item in actual if item.id not in left}
    touched = sorted(map(repr, up)) != sorted(map(repr, actual))
    assert touched == _plan.changes_something(changes)


@given(*CASES, OUTDATED)
def test_nothing_starts_while_something_that_goes_holds_its_port(
    desired: list[Desired], actual: list[Container], remove_orphans: bool, numbers: set[int]
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans, outdated=why(actual, numbers))
    goes = {item for change in changes for item in change.replaces}
    ports = {wanted.service: wanted.ports for wanted in desired}
    for change in changes:
        if change.create or change.starts:
            in_the_way = {item.id for item in actual if item.id in goes and item.ports & ports[change.service]}
            assert in_the_way <= set(change.replaces)


@given(*CASES, OUTDATED)
def test_service_gets_new_containers_when_one_that_it_follows_does(
    desired: list[Desired], actual: list[Container], remove_orphans: bool, numbers: set[int]
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans, outdated=why(actual, numbers))
    by_name = {change.service: change for change in changes}
    new = {change.service for change in changes if change.create}
    for wanted in desired:
        if new & set(wanted.follows) and wanted.replicas:
            assert by_name[wanted.service].create == wanted.replicas


@given(*CASES)
def test_plan_names_each_service_once_and_why_it_changes(
    desired: list[Desired], actual: list[Container], remove_orphans: bool
) -> None:
    changes = _plan.plan(desired, actual, remove_orphans=remove_orphans)
    known = [wanted.service for wanted in desired]
    orphans = sorted({item.service for item in actual} - set(known)) if remove_orphans else []
    assert [change.service for change in changes] == known + orphans
    assert all(bool(change.reasons) == (change.action != "unchanged" or change.waits) for change in changes)
    by_name = {wanted.service: wanted for wanted in desired}
    for change in changes:
        kind = {"roll": "rolling", "recreate": "recreate"}.get(change.action)
        assert change.why == (f"{kind}: as asked for" if kind else "")
        assert kind in (None, by_name[change.service].strategy.kind if kind else None)
