# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health gate: every verdict of the design's table, and what no order of events can bring about."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.shipshape.stack.plugins.module_utils import _health
from ansible_collections.shipshape.stack.plugins.module_utils._health import Expectation, Track, Verdict

CHECK = {"healthcheck": {"test": ["CMD", "true"]}}
START = 1000.0


def wants(definition: t.Mapping[str, t.Any] | None = None, *, must_finish: bool = False) -> Expectation:
    complete = {"restart": "always", **(definition or {})}
    return _health.expectation("web", complete, must_finish, wait_timeout=300.0, stable_for=5.0)


def after(*events: str | tuple[str, int], start: float = START, step: float = 1.0) -> Track | None:
    """Return a container after events one ``step`` apart; a pair is an event with an exit code."""
    track: Track | None = Track(id="1", service="web", status="created")
    now = start
    for event in events:
        action, code = event if isinstance(event, tuple) else (event, 0)
        assert track is not None
        track = _health.advance(track, action, exit_code=code, now=now)
        now += step
    return track


def verdict(wanted: Expectation, *events: str | tuple[str, int], now: float = START + 60) -> Verdict:
    track = after(*events)
    return _health.judge(wanted, [track] if track else [], now)


def test_healthy_is_ready() -> None:
    assert verdict(wants(CHECK), "start", "health_status: healthy") == Verdict("web", "ready", "healthy")


def test_running_but_not_yet_healthy_is_waited_for() -> None:
    assert verdict(wants(CHECK), "start", now=START + 1).status == "waiting"


def test_unhealthy_is_a_failure_at_once() -> None:
    found = verdict(wants(CHECK), "start", "health_status: unhealthy", now=START + 1)
    assert found.status == "failed"
    assert "unhealthy" in found.reason


def test_healthcheck_of_the_image_counts() -> None:
    wanted = _health.expectation(
        "web", {"restart": "always"}, False, wait_timeout=300, stable_for=5, image_check={"test": ["CMD", "true"]}
    )
    assert wanted.has_healthcheck
    assert verdict(wanted, "start", now=START + 20).status == "waiting"


@pytest.mark.parametrize("off", [{"test": ["NONE"]}, {"disable": True}])
def test_disabled_healthcheck_is_none_even_if_the_image_has_one(off: dict[str, t.Any]) -> None:
    wanted = _health.expectation(
        "web", {"healthcheck": off}, False, wait_timeout=300, stable_for=5, image_check={"test": ["CMD", "true"]}
    )
    assert not wanted.has_healthcheck


@pytest.mark.parametrize(("elapsed", "status"), [(4.9, "waiting"), (5.0, "ready")])
def test_without_healthcheck_ready_after_stable_for(elapsed: float, status: str) -> None:
    assert verdict(wants(), "start", now=START + elapsed).status == status


def test_restart_starts_the_stable_time_anew() -> None:
    found = verdict(wants(), "start", ("die", 1), "start", now=START + 6)
    assert found.status == "waiting"
    assert verdict(wants(), "start", ("die", 1), "start", now=START + 7).status == "ready"


def test_first_restart_is_waited_for_and_the_second_exit_is_a_crash_loop() -> None:
    assert verdict(wants(), "start", ("die", 3), now=START + 2).status == "waiting"
    found = verdict(wants(), "start", ("die", 3), "start", ("die", 3), now=START + 4)
    assert found.status == "failed"
    assert found.reason == "is in a crash loop: it exited 2 times, last with code 3"


def test_crash_loop_is_a_failure_while_the_container_runs_again() -> None:
    assert verdict(wants(), "start", ("die", 3), "start", ("die", 3), "start", now=START + 60).status == "failed"


def test_crash_loop_of_a_service_with_healthcheck_is_a_failure() -> None:
    assert verdict(wants(CHECK), "start", ("die", 1), "start", ("die", 1), now=START + 4).status == "failed"


@pytest.mark.parametrize("restart", ["on-failure", "on-failure:5"])
def test_service_restarted_on_failure_gets_a_second_try(restart: str) -> None:
    wanted = wants({"restart": restart})
    assert verdict(wanted, "start", ("die", 1), now=START + 2).status == "waiting"
    assert verdict(wanted, "start", ("die", 1), "start", ("die", 0), now=START + 4).status == "ready"
    assert verdict(wanted, "start", ("die", 1), "start", ("die", 1), now=START + 4).status == "failed"


def test_one_shot_that_exited_0_is_ready() -> None:
    assert verdict(wants({"restart": "no"}), "start", ("die", 0)) == Verdict("web", "ready", "finished with code 0")


def test_one_shot_that_exited_1_is_a_failure_at_once() -> None:
    found = verdict(wants({"restart": "no"}), "start", ("die", 1), now=START + 1)
    assert found == Verdict("web", "failed", "exited with code 1")


def test_one_shot_others_wait_for_is_not_ready_while_it_runs() -> None:
    assert verdict(wants({"restart": "no"}, must_finish=True), "start", now=START + 100).status == "waiting"


def test_one_shot_others_wait_for_fails_with_its_first_bad_exit_even_if_it_is_restarted() -> None:
    wanted = wants({"restart": "on-failure"}, must_finish=True)
    assert verdict(wanted, "start", ("die", 1), now=START + 1).status == "failed"


def test_service_with_healthcheck_that_ends_with_0_is_a_failure() -> None:
    found = verdict(wants(CHECK | {"restart": "no"}), "start", ("die", 0), now=START + 1)
    assert found.status == "failed"
    assert "meant to keep running" in found.reason


def test_exit_0_of_a_service_that_is_always_restarted_is_not_ready() -> None:
    assert verdict(wants(), "start", ("die", 0), now=START + 1).status == "waiting"


@pytest.mark.parametrize("events", [("start", "oom", ("die", 137)), ("start", ("die", 137), "oom")])
def test_memory_kill_is_a_failure_in_either_order_of_events(events: tuple[str | tuple[str, int], ...]) -> None:
    found = verdict(wants(), *events, now=START + 3)
    assert found.status == "failed"
    assert "memory limit" in found.reason


def test_container_that_could_not_be_started_is_a_failure() -> None:
    track = Track(id="1", service="web", status="created", error="exec: no such file")
    assert _health.judge(wants(), [track], START).status == "failed"


def test_exit_that_was_asked_for_is_no_crash() -> None:
    stopped = verdict(wants({"restart": "no"}), "start", "kill", ("die", 137), now=START + 3)
    assert (stopped.status, stopped.reason) == ("waiting", "stopped")
    again = ("start", "kill", ("die", 143), "start", "kill", ("die", 143), "start")
    assert verdict(wants(), *again, now=START + 60).status == "ready"


def test_crash_after_a_restart_that_was_asked_for_counts() -> None:
    events = ("start", "kill", ("die", 143), "start", ("die", 1), "start", ("die", 1))
    assert verdict(wants(), *events, now=START + 60).status == "failed"


def test_dead_container_is_a_failure() -> None:
    track = Track(id="1", service="web", status="dead")
    assert _health.judge(wants(), [track], START).status == "failed"


def test_health_of_the_life_before_a_restart_does_not_count() -> None:
    found = verdict(wants(CHECK), "start", "health_status: healthy", ("die", 1), "start", now=START + 4)
    assert found.status == "waiting"


def test_removed_container_is_forgotten() -> None:
    assert after("start", ("die", 0), "destroy") is None
    assert verdict(wants(), "start", "destroy") == Verdict("web", "waiting", "not created yet")


def test_paused_container_is_not_ready() -> None:
    assert verdict(wants(), "start", "pause", now=START + 60).status == "waiting"
    assert verdict(wants(), "start", "pause", "unpause", now=START + 60).status == "ready"


def test_all_replicas_must_be_ready() -> None:
    wanted = wants({"deploy": {"replicas": 2}} | CHECK)
    healthy = after("start", "health_status: healthy")
    assert healthy is not None
    assert _health.judge(wanted, [healthy], START + 1).status == "waiting"
    assert _health.judge(wanted, [healthy, replace(healthy, id="2")], START + 1).status == "ready"


def test_one_sick_replica_fails_the_service() -> None:
    wanted = wants({"deploy": {"replicas": 2}} | CHECK)
    healthy, sick = after("start", "health_status: healthy"), after("start", "health_status: unhealthy")
    assert healthy and sick
    assert _health.judge(wanted, [healthy, replace(sick, id="2")], START + 1).status == "failed"


def test_containers_of_other_services_do_not_count() -> None:
    other = after("start", "health_status: healthy")
    assert other is not None
    assert _health.judge(wants(CHECK), [replace(other, service="db")], START + 1).status == "waiting"


def test_no_replicas_wanted_is_ready() -> None:
    assert _health.judge(wants({"scale": 0}), [], START).status == "ready"


def test_timeout_comes_from_the_healthcheck_itself() -> None:
    check = {"test": ["CMD", "true"], "interval": "10s", "timeout": "5s", "retries": 3, "start_period": "30s"}
    wanted = wants({"healthcheck": check})
    assert wanted.timeout == 30 + (10 + 5) * 3 + _health.TIMEOUT_MARGIN
    assert verdict(wanted, "start", now=START + 84).status == "waiting"
    found = verdict(wanted, "start", now=START + 85)
    assert (found.status, found.reason) == ("timeout", "is still running 85 s after its start")


def test_timeout_is_capped_by_wait_timeout() -> None:
    check = {"test": ["CMD", "true"], "start_period": "1h"}
    wanted = _health.expectation("web", {"healthcheck": check}, False, wait_timeout=60, stable_for=5)
    assert wanted.timeout == 60


def test_engine_defaults_fill_what_the_healthcheck_leaves_out() -> None:
    assert wants(CHECK).timeout == (30 + 30) * 3 + _health.TIMEOUT_MARGIN


@pytest.mark.parametrize(
    ("definition", "restart"),
    [
        ({}, "no"),
        ({"restart": "no"}, "no"),
        ({"restart": "always"}, "always"),
        ({"restart": "unless-stopped"}, "always"),
        ({"restart": "on-failure:3"}, "on-failure"),
        ({"deploy": {"restart_policy": {"condition": "any"}}}, "always"),
        ({"deploy": {"restart_policy": {"condition": "none"}}}, "no"),
        ({"deploy": {"restart_policy": {"condition": "on-failure"}}}, "on-failure"),
    ],
)
def test_restart_policy_is_read_from_both_places(definition: dict[str, t.Any], restart: str) -> None:
    wanted = _health.expectation("web", definition, False, wait_timeout=1, stable_for=1)
    assert wanted.restart == restart
    assert wanted.may_finish == (restart != "always")


@pytest.mark.parametrize(
    ("definition", "count"),
    [({}, 1), ({"scale": 3}, 3), ({"scale": 0}, 0), ({"deploy": {"replicas": 2}}, 2), ({"deploy": {}}, 1)],
)
def test_replicas_come_from_scale_or_deploy(definition: dict[str, t.Any], count: int) -> None:
    assert _health.replicas(definition) == count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("250us", 250e-6),
        ("30000000000ns", 30.0),
        ("1h2m3s4ms", 3723.004),
        ("0s", 0.0),
        (None, 7.0),
        ("", 7.0),
    ],
)
def test_compose_durations_are_seconds(text: str | None, expected: float) -> None:
    assert _health.seconds(text, 7.0) == pytest.approx(expected)


EVENTS = st.sampled_from(
    [
        "create",
        "start",
        "die 0",
        "die 1",
        "oom",
        "kill",
        "stop",
        "pause",
        "unpause",
        "exec_start: probe",
        "health_status: healthy",
        "health_status: unhealthy",
        "health_status: starting",
    ]
)
EXPECTATIONS = st.builds(
    lambda restart, check, must_finish: wants({"restart": restart} | (CHECK if check else {}), must_finish=must_finish),
    st.sampled_from(["no", "on-failure", "always"]),
    st.booleans(),
    st.booleans(),
)
STEPS = st.lists(st.tuples(EVENTS, st.floats(0, 20)), max_size=12)


@given(EXPECTATIONS, STEPS, st.floats(0, 20))
def test_no_order_of_events_makes_the_gate_open_for_a_sick_container(
    wanted: Expectation, steps: list[tuple[str, float]], rest: float
) -> None:
    """A second, plain model of the truth runs along: what the container does, and since when."""
    now, track = START, Track(id="1", service="web", status="created")
    running, healthy, code, since = False, False, None, 0.0
    for event, passed in steps:
        now += passed
        action, _space, argument = event.partition(" ") if event.startswith("die") else (event, "", "")
        advanced = _health.advance(track, action, exit_code=int(argument or 0), now=now)
        assert advanced is not None
        track = advanced
        match action:
            case "start":
                running, healthy, code, since = True, False, None, now
            case "die":
                running, code = False, int(argument)
            case "pause":
                running = False
            case "unpause":
                running, code = True, None
            case "health_status: healthy":
                healthy = True
            case _ if action.startswith("health_status: "):
                healthy = False
    now += rest
    if _health.judge(wanted, [track], now).status != "ready":
        return
    if running:
        assert not wanted.must_finish
        assert healthy if wanted.has_healthcheck else now - since >= wanted.stable_for
    else:
        assert code == 0 and wanted.may_finish


@given(EXPECTATIONS, st.lists(st.tuples(STEPS, st.booleans()), max_size=3), st.floats(0, 400))
def test_next_check_is_in_the_future(
    wanted: Expectation, histories: list[tuple[list[tuple[str, float]], bool]], rest: float
) -> None:
    tracks, latest = [], START
    for steps, own in histories:
        track, now = Track(id="1", service="web" if own else "db", status="created"), START
        for event, passed in steps:
            now += passed
            action = event.split(" ")[0] if event.startswith("die") else event
            track = _health.advance(track, action, exit_code=0, now=now) or track
        tracks.append(track)
        latest = max(latest, now)
    assert _health.next_check([wanted], tracks, latest + rest) > latest + rest


def test_next_check_is_when_the_container_has_been_stable_for_long_enough() -> None:
    track = after("start")
    assert track is not None
    assert _health.next_check([wants()], [track], START + 1) == START + 5


def test_next_check_is_the_timeout_where_only_events_can_bring_good_news() -> None:
    track, wanted = after("start"), wants(CHECK)
    assert track is not None
    assert _health.next_check([wanted], [track], START + 1) == START + wanted.timeout


def test_verdict_cannot_change_without_an_event_when_nothing_was_started() -> None:
    track = Track(id="1", service="web", status="created")
    assert _health.next_check([wants()], [track], START) == float("inf")
