# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real Engine told, replayed through the health gate. ``tests/support/record_events.py`` records it anew."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _engine, _health
from ansible_collections.shipshape.stack.plugins.module_utils._gate import Gate

DATA = Path(__file__).parent / "data/events"


@dataclass(frozen=True)
class Recording:
    """A service of a Compose file and what there was to know of it, in order."""

    service: dict[str, t.Any]
    steps: list[dict[str, t.Any]]


def load(name: str) -> Recording:
    data = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return Recording(data["service"], data["steps"])


def seen(step: dict[str, t.Any]) -> list[_engine.Container]:
    """Return the containers of a look."""
    rest = {"config_hash": "c1", "image": "i1", "image_name": "i", "cpus": 0.0, "memory": 0}
    return [_engine.Container(**found, **rest) for found in step["look"]]


def moment(step: dict[str, t.Any]) -> float:
    return float(step["event"]["timeNano"] / 1e9 if "event" in step else step["now"])


def open_gate(recording: Recording, **options: t.Any) -> Gate:
    wanted = _health.expectation("web", recording.service, False, wait_timeout=300, stable_for=5)
    return Gate((wanted,), **options)


def name_of(step: dict[str, t.Any]) -> str:
    return next((kind for kind in ("look", "refused") if kind in step), "") or str(step["event"]["Action"])


def replay(gate: Gate, steps: t.Sequence[dict[str, t.Any]]) -> t.Iterator[tuple[str, str, str]]:
    """Yield each change of the verdict: at which event (``time`` for none), and what it is then."""
    told = _health.Verdict("web", "waiting", "")
    now = moment(steps[0])

    def judge(after: str) -> t.Iterator[tuple[str, str, str]]:
        nonlocal told
        [verdict] = gate.verdicts(now)
        if verdict.status != told.status or (verdict.status == "failed" and verdict != told):
            yield after, verdict.status, verdict.reason
        told = verdict

    for step in [*steps, None]:
        until = moment(step) if step else float("inf")
        while (check := gate.wait_until(now)) < until:
            now = check
            yield from judge("time")
        if step is None:
            return
        # Times of events and of looks are taken at different places: they may be out of order by a little.
        now = max(now, until)
        if "event" in step:
            gate.hear(step["event"])
        for container, words in step.get("refused", {}).items():
            gate.could_not_start(container, words)
        yield from judge(name_of(step))


SICK = "is unhealthy: its healthcheck failed more often than `retries` allows"
CRASHED = "is in a crash loop: it exited {} times, last with code {}"
EXPECTED: dict[str, list[tuple[str, str, str]]] = {
    "running_without_healthcheck": [("time", "ready", "running without a restart")],
    "healthy": [("health_status: healthy", "ready", "healthy")],
    "unhealthy": [("health_status: unhealthy", "failed", SICK)],
    "health_flapping": [
        ("health_status: healthy", "ready", "healthy"),
        ("health_status: unhealthy", "failed", SICK),
        ("health_status: healthy", "ready", "healthy"),
    ],
    "crash_loop": [("die", "failed", CRASHED.format(2, 3)), ("die", "failed", CRASHED.format(3, 3))],
    "one_restart": [("time", "ready", "running without a restart")],
    "one_shot_0": [("die", "ready", "finished with code 0")],
    "one_shot_1": [("die", "failed", "exited with code 1")],
    "memory_limit": [("oom", "failed", "was killed by the kernel because it reached its memory limit")],
    "not_executable": [("refused", "failed", "could not be started")],
    "not_executable_behind_an_init": [
        ("die", "failed", CRASHED.format(2, 126)),
        ("die", "failed", CRASHED.format(3, 126)),
    ],
    # The Engine takes a paused container for unhealthy and says no word of it; the next probe is told.
    "paused": [
        ("health_status: healthy", "ready", "healthy"),
        ("pause", "waiting", "paused"),
        ("health_status: healthy", "ready", "healthy"),
    ],
    "stopped_and_started": [
        ("health_status: healthy", "ready", "healthy"),
        ("die", "waiting", "stopped"),
        ("health_status: healthy", "ready", "healthy"),
    ],
    "recreated_by_compose": [
        ("health_status: healthy", "ready", "healthy"),
        ("die", "waiting", "stopped"),
        ("health_status: healthy", "ready", "healthy"),
    ],
}


def from_look(name: str, number: int, **options: t.Any) -> list[tuple[str, str, str]]:
    """Open a gate at a look and replay what came after it."""
    recording = load(name)
    looks = [at for at, step in enumerate(recording.steps) if "look" in step]
    gate = open_gate(recording, **options)
    for container in seen(recording.steps[looks[number]]):
        gate.see(container)
    return list(replay(gate, recording.steps[looks[number] :]))


def only_container(name: str) -> str:
    [found] = {container.id for step in load(name).steps if "look" in step for container in seen(step)}
    return found


def test_every_recording_has_its_verdicts() -> None:
    assert {path.stem for path in DATA.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_verdicts_change_at_these_events_and_at_no_other(name: str) -> None:
    assert from_look(name, 0) == EXPECTED[name]


ENDS_WELL = [name for name, changes in EXPECTED.items() if changes[-1][1] == "ready"]


@pytest.mark.parametrize("name", ENDS_WELL)
def test_gate_that_is_opened_at_any_look_comes_to_the_same_end(name: str) -> None:
    looks = sum("look" in step for step in load(name).steps)
    for number in range(looks):
        assert from_look(name, number)[-1][1:] == EXPECTED[name][-1][1:], f"look {number}"


@pytest.mark.parametrize("name", EXPECTED)
def test_containers_that_are_replaced_change_no_verdict(name: str) -> None:
    recording = load(name)
    ids = {step["event"]["Actor"]["ID"] for step in recording.steps if "event" in step}
    gate = open_gate(recording, replaced=frozenset(ids))
    assert list(replay(gate, [step for step in recording.steps if "event" in step])) == []
    assert not gate.tracks


def test_old_container_that_compose_stops_does_not_delay_the_new_one() -> None:
    recording = load("recreated_by_compose")
    old = recording.steps[0]["look"][0]["id"]
    gate = open_gate(recording, replaced=frozenset({old}))
    assert list(replay(gate, recording.steps[1:])) == [("health_status: healthy", "ready", "healthy")]
    assert old not in gate.tracks


def test_container_that_is_started_again_is_not_judged_by_its_past() -> None:
    container = only_container("stopped_and_started")
    changes = from_look("stopped_and_started", 3, starting=frozenset({container}))
    assert load("stopped_and_started").service["healthcheck"]
    assert changes == [("health_status: healthy", "ready", "healthy")]


def test_paused_container_that_goes_on_is_judged_by_its_next_probe() -> None:
    container = only_container("paused")
    changes = from_look("paused", 3, starting=frozenset({container}), patient=True)
    assert changes == [("health_status: healthy", "ready", "healthy")]


def test_sick_container_gets_its_time_once_more_where_the_plan_changes_something() -> None:
    assert from_look("health_flapping", 3)[0] == ("look", "failed", SICK)
    patient = from_look("health_flapping", 3, patient=True)
    assert patient == [("health_status: healthy", "ready", "healthy")]


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("paused", 3, ("paused", "unhealthy")),
        ("stopped_and_started", 3, ("exited", "unhealthy")),
        ("crash_loop", 1, ("restarting", "none")),
    ],
)
def test_looks_are_those_the_tests_are_about(name: str, number: int, expected: tuple[str, str]) -> None:
    look = [step for step in load(name).steps if "look" in step][number]
    [container] = seen(look)
    assert (container.status, container.health) == expected


def test_time_of_a_start_as_inspected_is_that_of_its_event() -> None:
    steps = load("healthy").steps
    [event] = [moment(step) for step in steps if "event" in step and name_of(step) == "start"]
    [container] = seen([step for step in steps if "look" in step][-1])
    # The Engine notes the start, then tells of it.
    assert event - 0.5 < container.started <= event
    assert _engine.epoch("0001-01-01T00:00:00Z") == 0.0
