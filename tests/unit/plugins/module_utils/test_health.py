# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health gate: every verdict of the design's table, and what no order of events can bring about."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given
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


@pytest.mark.parametrize("ended", [["kill", ("die", 0)], [("die", 1)]], ids=["by Compose", "by itself"])
def test_container_that_served_for_days_has_its_whole_time_after_a_restart(ended: list[str | tuple[str, int]]) -> None:
    days = 9e5
    track = after("start", "health_status: healthy")
    for event in [*ended, "start"]:
        action, code = event if isinstance(event, tuple) else (event, 0)
        assert track is not None
        track = _health.advance(track, action, exit_code=code, now=START + days)
        assert track is not None
        assert _health.judge(wants(CHECK), [track], START + days + 1).status != "timeout"
    assert _health.judge(wants(CHECK), [track], START + days + 189).status == "waiting"
    assert _health.judge(wants(CHECK), [track], START + days + 190).status == "timeout"


def test_container_that_fails_its_healthcheck_while_it_stops_is_not_sick() -> None:
    stopping = ("start", "health_status: healthy", "kill", "health_status: unhealthy")
    assert verdict(wants(CHECK), *stopping, now=START + 4).status == "waiting"
    assert verdict(wants(CHECK), *stopping, ("die", 0), "start", now=START + 6).status == "waiting"


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
    assert (found.status, found.reason) == ("timeout", "is still running (starting) after 85 s")


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


@pytest.mark.parametrize(("signal", "stops"), [("15", True), ("3", True), ("37", True), ("1", False), ("28", False)])
def test_a_signal_to_reload_is_no_request_to_stop(signal: str, stops: bool) -> None:
    assert _health.asks_to_stop(signal) is stops


@dataclass
class Observer:
    """The truth about one container, told by somebody who only keeps notes of what happened."""

    exists: bool = True
    running: bool = False
    paused: bool = False
    started: float = 0.0
    health: str = ""
    exit_code: int | None = None
    crashes: int = 0
    stop_was_asked_for: bool = False
    ran_out_of_memory: bool = False

    def hear(self, event: str, now: float) -> None:
        action, _space, argument = event.partition(" ")
        match action:
            case "start":
                self.running, self.paused, self.started = True, False, now
                self.health, self.exit_code, self.stop_was_asked_for = "", None, False
            case "kill":
                self.stop_was_asked_for = True
            case "die":
                self.running = self.paused = False
                self.exit_code = None if self.stop_was_asked_for else int(argument)
                self.crashes += not self.stop_was_asked_for
            case "pause" | "unpause":
                self.paused = self.running and action == "pause"
            case "oom":
                self.ran_out_of_memory = True
            case "health_status:":
                self.health = argument
            case "destroy":
                self.exists = False

    def finished_well(self, wanted: Expectation) -> bool:
        return not self.running and self.exit_code == 0 and wanted.may_finish

    def is_ready(self, wanted: Expectation, now: float) -> bool:
        if not self.running:
            return self.finished_well(wanted)
        if self.paused or wanted.must_finish:
            return False
        if wanted.has_healthcheck:
            return self.health == "healthy"
        return now >= self.started + wanted.stable_for

    def is_lost(self, wanted: Expectation) -> bool:
        """Return whether nothing good can come of it any more."""
        if self.ran_out_of_memory:
            return True
        if wanted.has_healthcheck and self.health == "unhealthy" and not self.stop_was_asked_for:
            return True
        if self.finished_well(wanted):
            return False
        comes_back = not wanted.must_finish and (
            wanted.restart == "always" or (wanted.restart == "on-failure" and self.exit_code != 0)
        )
        stays_away = not self.running and self.exit_code is not None and not comes_back
        return stays_away or self.crashes >= 2


# What an Engine can report next of a container in this state, and the state it is in then; repeated: more often.
NEXT: dict[str, list[tuple[str, str]]] = {
    "created": [("start", "running")],
    "running": [
        *[("health_status: healthy", "running"), ("die 1", "exited")] * 3,
        *[("kill", "running"), ("pause", "paused")] * 2,
        *[
            ("health_status: unhealthy", "running"),
            ("die 0", "exited"),
            ("oom", "running"),
            ("exec_start: x", "running"),
        ],
    ],
    "paused": [("unpause", "running"), ("kill", "paused"), ("die 137", "exited")],
    "exited": [*[("start", "running")] * 4, ("oom", "exited"), ("destroy", "gone")],
}
EVENTS = sorted({event for following in NEXT.values() for event, _state in following})
# A container may have been there for days before we look.
PAUSES = st.sampled_from([0.0, 1.0, 5.0, 9e5]) | st.floats(0, 400)
History = list[tuple[str, float]]
"""Events, each with the seconds that passed before it."""


@st.composite
def possible_histories(draw: st.DrawFn) -> History:
    state, history = "created", []
    for _step in range(draw(st.integers(1, 8))):
        if state == "gone":
            break
        event, state = draw(st.sampled_from(NEXT[state]))
        history.append((event, draw(PAUSES)))
    return history


# Events may be in any order at all: a lost or repeated one must not open the gate either.
HISTORIES = st.one_of(possible_histories(), st.lists(st.tuples(st.sampled_from(EVENTS), PAUSES), max_size=12))
# restart, healthcheck, must_finish: what services mostly are, beside all there can be.
KINDS = [("always", True, False)] * 9 + [("always", False, False)] * 6
KINDS += list(itertools.product(["no", "on-failure", "always"], [True, False], [True, False]))
EXPECTATIONS = st.builds(
    lambda kind, replicas, wait_timeout, stable_for: _health.expectation(
        "web",
        {"restart": kind[0], "scale": replicas} | (CHECK if kind[1] else {}),
        kind[2],
        wait_timeout=wait_timeout,
        stable_for=stable_for,
    ),
    st.sampled_from(KINDS),
    st.sampled_from([1, 1, 1, 0, 2]),
    st.floats(10, 300),
    st.floats(0, 10),
)
RESTS = st.sampled_from([0.0, 60.0]) | st.floats(0, 400)
# Times as the Engine gives them: seconds since the epoch, where a double has a grain of a quarter of a microsecond.
EPOCH = st.floats(1.7e9, 1.9e9)


def play(history: History, start: float) -> tuple[Track | None, Observer, float]:
    """Return what the gate and the observer know after the history, and what time it is then."""
    track: Track | None = Track(id="1", service="web", status="created")
    observer, now = Observer(), start
    for event, passed in history:
        now += passed
        # The observer heeds nothing of a container that is gone, as the gate has forgotten it.
        if track is not None:
            action, code = event.split() if event.startswith("die") else (event, "0")
            track = _health.advance(track, action, exit_code=int(code), now=now)
            observer.hear(event, now)
    return track, observer, now


@given(EXPECTATIONS, st.lists(HISTORIES, max_size=2), EPOCH, RESTS)
@example(wants(CHECK), [[("start", 0.0), ("kill", 9e5), ("health_status: unhealthy", 1.0)]], START, 0.0)
@example(wants(), [[("start", 0.0), ("die 1", 1.0), ("unpause", 1.0)]], START, 60.0)
@example(wants(), [[("start", 0.0), ("die 1", 1.0), ("pause", 1.0), ("unpause", 1.0)]], START, 60.0)
def test_verdict_is_the_truth(wanted: Expectation, histories: list[History], start: float, rest: float) -> None:
    played = [play(history, start) for history in histories]
    now = max([start, *(last for _track, _observer, last in played)]) + rest
    present = [observer for _track, observer, _last in played if observer.exists]
    found = _health.judge(wanted, [track for track, _observer, _last in played if track], now)
    if any(observer.is_lost(wanted) for observer in present):
        assert found.status == "failed"
    elif sum(observer.is_ready(wanted, now) for observer in present) >= wanted.replicas:
        assert found.status == "ready"
    else:
        assert found.status in ("waiting", "timeout")


@given(EXPECTATIONS, possible_histories(), EPOCH, RESTS)
@example(wants(CHECK), [("start", 0.0), ("health_status: healthy", 5.0), ("die 1", 9e5)], START, 0.0)
@example(
    wants(CHECK),
    [("start", 0.0), ("health_status: healthy", 5.0), ("kill", 9e5), ("die 0", 1.0), ("start", 1.0)],
    START,
    0.0,
)
@example(wants(), [("start", 0.0), ("pause", 9e5)], START, 0.0)
def test_timeout_comes_when_the_container_was_not_ready_for_its_whole_time(
    wanted: Expectation, history: History, start: float, rest: float
) -> None:
    wanted = replace(wanted, replicas=1)
    track, observer, now = play(history, start)
    if track is None:
        return
    undisturbed = observer.running and not any(event == "pause" for event, _passed in history)
    unready_since = start
    for length in range(len(history)):
        _track, before, _now = play(history[:length], start)
        at = start + sum(passed for _event, passed in history[: length + 1])
        if before.is_ready(wanted, at):
            unready_since = at
    found = _health.judge(wanted, [track], now + rest)
    if found.status == "timeout":
        assert now + rest - unready_since >= wanted.timeout - 1e-6
    if found.status == "waiting" and undisturbed:
        assert now + rest - observer.started <= wanted.timeout + 1e-6


@given(EXPECTATIONS, st.lists(HISTORIES, max_size=2), EPOCH, RESTS, st.floats(0, 1))
@example(replace(wants(), timeout=10.89290500201929), [[("start", 0.0), ("die 0", 0.0)]], 1.7e9, 0.0, 1.0)
def test_verdict_does_not_change_before_the_next_check(
    wanted: Expectation, histories: list[History], start: float, rest: float, part: float
) -> None:
    played = [play(history, start) for history in histories]
    tracks = [track for track, _observer, _last in played if track]
    now = max([start, *(last for _track, _observer, last in played)]) + rest
    for _look in range(2 * len(tracks) + 1):
        following = _health.next_check([wanted], tracks, now)
        assert following > now
        between = now + part * (min(following, now + 1e6) - now)
        if between < following:
            assert _health.judge(wanted, tracks, between) == _health.judge(wanted, tracks, now)
        if following == float("inf"):
            return
        now = following
    raise AssertionError("each container gives at most two moments to look again")


@given(EXPECTATIONS, HISTORIES, EPOCH, RESTS, st.floats(0, 1e6))
def test_failure_is_final_until_something_happens(
    wanted: Expectation, history: History, start: float, rest: float, later: float
) -> None:
    track, _observer, now = play(history, start)
    tracks = [track] if track else []
    if _health.judge(wanted, tracks, now + rest).status == "failed":
        assert _health.judge(wanted, tracks, now + rest + later).status == "failed"


@given(EXPECTATIONS, possible_histories(), EPOCH)
def test_second_crash_is_called_at_once(wanted: Expectation, history: History, start: float) -> None:
    wanted, crashes, asked, now = replace(wanted, replicas=1), 0, False, start
    for number, (event, passed) in enumerate(history, start=1):
        now += passed
        asked = event == "kill" or (asked and event != "start")
        crashes += event.startswith("die") and not asked
        if crashes == 2 and event.startswith("die") and not (event == "die 0" and wanted.may_finish):
            track, _observer, _now = play(history[:number], start)
            assert track is not None
            assert _health.judge(wanted, [track], now).status == "failed"
            return


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
