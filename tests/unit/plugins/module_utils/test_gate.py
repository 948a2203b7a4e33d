# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate at work on a small Engine: what it knows after any events, whenever it was opened, is what there is."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.shipshape.stack.plugins.module_utils import _diagnosis, _engine, _health
from ansible_collections.shipshape.stack.plugins.module_utils._gate import Gate, GateClosed

START = 1.8e9
STABLE = 5.0
CHECK = {"healthcheck": {"test": ["CMD", "true"], "interval": "5s", "timeout": "5s"}}


def wants(definition: t.Mapping[str, t.Any] | None = None, service: str = "web", **options: t.Any) -> t.Any:
    complete = {"restart": "always", **(definition or {})}
    must_finish = options.pop("must_finish", False)
    return _health.expectation(service, complete, must_finish, wait_timeout=300.0, stable_for=STABLE)


def container(number: int = 1, **values: t.Any) -> _engine.Container:
    given = {
        "id": f"c{number}",
        "name": f"shop-web-{number}",
        "service": "web",
        "status": "running",
        "health": "none",
        "exit_code": 0,
        "oom_killed": False,
        "restart_count": 0,
        "started_at": "2027-01-15T08:00:00Z",
        "error": "",
        "config_hash": "c1",
        "image": "i1",
        "image_name": "i",
        "cpus": 0.0,
        "memory": 0,
    }
    return _engine.Container(**{**given, **values})


def event(action: str, now: float, *, number: int = 1, service: str = "web", **attributes: str) -> dict[str, t.Any]:
    labels = {_engine.SERVICE_LABEL: service, _engine.ONEOFF_LABEL: "False", **attributes}
    return {"Action": action, "Actor": {"ID": f"c{number}", "Attributes": labels}, "timeNano": round(now * 1e9)}


# A small Engine


@dataclass
class Machine:
    """One container as the Engine keeps it, with what of its life a gate may hold against it."""

    number: int
    service: str
    checked: bool
    restart: str
    status: str = "created"
    health: str = "none"
    started: float = 0.0
    exit_code: int = 0
    exists: bool = True
    asked_to_stop: bool = False
    blemished: bool = False

    def tell(self, action: str, now: float, **attributes: str) -> dict[str, t.Any]:
        return event(action, now, number=self.number, service=self.service, **attributes)

    def do(self, step: str, now: float) -> list[dict[str, t.Any]]:
        """Do what the step says, where that can be; return the events the Engine tells of it."""
        up = self.status == "running"
        match step:
            case "start" if self.status in ("created", "exited", "restarting"):
                self.status, self.started, self.asked_to_stop = "running", now, False
                self.health = "starting" if self.checked else "none"
                return [self.tell("start", now)]
            case "kill" if up:
                self.asked_to_stop = True
                return [self.tell("kill", now, signal="15")]
            case "hang up" if up:
                return [self.tell("kill", now, signal="1")]
            case "exit 0" | "exit 1" if up:
                return self._exit(int(step[-1]), now)
            case "out of memory" if up and not self.asked_to_stop:
                return [self.tell("oom", now), *self._exit(137, now)]
            case "healthy" | "unhealthy" if up and self.checked and self.health != step:
                self.health = step
                self.blemished |= step == "unhealthy"
                return [self.tell(f"health_status: {step}", now)]
            case "pause" if up:
                # Without an event the Engine notes that it is not healthy; the first probe afterwards is told again.
                self.status, self.health = "paused", "unhealthy" if self.checked else "none"
                return [self.tell("pause", now)]
            case "unpause" if self.status == "paused":
                self.status = "running"
                return [self.tell("unpause", now)]
            case "exec" if up:
                return [self.tell("exec_start: /bin/true", now), self.tell("exec_die", now, exitCode="1")]
            case "destroy" if self.status in ("created", "exited"):
                self.exists = False
                return [self.tell("destroy", now)]
        return []

    def _exit(self, code: int, now: float) -> list[dict[str, t.Any]]:
        comes_back = not self.asked_to_stop and (self.restart == "always" or (self.restart == "on-failure" and code))
        self.blemished |= not self.asked_to_stop
        self.status, self.exit_code = "restarting" if comes_back else "exited", code
        self.health = "unhealthy" if self.checked else "none"
        return [self.tell("die", now, exitCode=str(code))]

    def inspected(self) -> _engine.Container:
        never = "0001-01-01T00:00:00Z"
        stamp = datetime.fromtimestamp(self.started, tz=UTC).isoformat() if self.started else never
        return container(
            self.number,
            service=self.service,
            status=self.status,
            health=self.health,
            exit_code=self.exit_code,
            started_at=stamp,
        )

    def is_sound(self, wanted: t.Any, now: float) -> bool:
        """Say whether this is what was wanted, of the Engine's notes alone."""
        if self.status == "exited":
            return bool(wanted.may_finish and self.exit_code == 0 and not self.asked_to_stop)
        if self.status != "running" or wanted.must_finish:
            return False
        return self.health == "healthy" if self.checked else now >= self.started + wanted.stable_for


STEPS = ["start", "healthy", "exit 1", "kill", "exit 0", "unhealthy", "pause", "unpause", "out of memory", "destroy"]
LIVES = st.lists(
    st.tuples(
        st.integers(0, 2),
        # A life is mostly to be started and to be well.
        st.sampled_from(["start", "start", "healthy", "healthy", *STEPS, "hang up", "exec"]),
        st.sampled_from([0.001, 1.0, 6.0]) | st.floats(0.001, 20),
    ),
    max_size=25,
)
DEFINITIONS = st.sampled_from(
    [
        {"restart": "always", **CHECK},
        {"restart": "always", **CHECK},
        {"restart": "always"},
        {"restart": "on-failure"},
        {"restart": "no"},
    ]
)
Life = list[tuple[int, str, float]]


@dataclass
class World:
    """Three containers of one service, and what the Engine told of them with the time it is after each step."""

    wanted: t.Any
    machines: list[Machine] = field(default_factory=list)
    events: list[dict[str, t.Any]] = field(default_factory=list)
    now: float = START

    def __post_init__(self) -> None:
        self.machines = [
            Machine(number, "web", self.wanted.has_healthcheck, self.wanted.restart) for number in range(3)
        ]

    def live(self, life: Life) -> t.Iterator[list[dict[str, t.Any]]]:
        """Do one step after the other; yield what is told of each."""
        for number, step, passed in life:
            self.now = round((self.now + passed) * 1e9) / 1e9
            machine = self.machines[number]
            told = machine.do(step, self.now) if machine.exists else []
            self.events += told
            yield told

    def present(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.exists]

    def gate(self, **options: t.Any) -> Gate:
        """Return a gate that looks now."""
        gate = Gate((self.wanted,), **options)
        for machine in self.present():
            gate.see(machine.inspected())
        return gate


def definition(base: t.Mapping[str, t.Any], replicas: int) -> t.Any:
    return wants({**base, "scale": replicas})


def known(gate: Gate) -> dict[str, tuple[str, str, float]]:
    """Return what the gate knows of each container, of what is told of it at all."""
    found = {}
    for track in gate.tracks.values():
        status = {"stopped": "exited"}.get(track.status, track.status)
        up = status in ("running", "paused")
        health = "" if track.health != "healthy" or not up else "healthy"
        found[track.id] = (status, health, round(track.since, 3) if up else 0.0)
    return found


def true(machines: t.Iterable[Machine]) -> dict[str, tuple[str, str, float]]:
    found = {}
    for machine in machines:
        status = {"restarting": "exited"}.get(machine.status, machine.status)
        up = status in ("running", "paused")
        health = "healthy" if up and machine.health == "healthy" else ""
        found[f"c{machine.number}"] = (status, health, round(machine.started, 3) if up else 0.0)
    return found


WENT_ON_AFTER_A_PAUSE: Life = [(0, "start", 1), (0, "healthy", 1), (0, "pause", 1), (0, "unpause", 1)]
CRASHED_WHEN_HEALTHY: Life = [(0, "start", 1), (0, "healthy", 1), (0, "exit 1", 1), (0, "start", 1)]


@given(DEFINITIONS, st.integers(1, 2), LIVES)
@example({"restart": "always", **CHECK}, 1, WENT_ON_AFTER_A_PAUSE)
@example({"restart": "always", **CHECK}, 1, CRASHED_WHEN_HEALTHY)
def test_gate_that_heard_everything_knows_what_there_is(base: dict[str, t.Any], replicas: int, life: Life) -> None:
    world = World(definition(base, replicas))
    gate = world.gate()
    for told in world.live(life):
        for item in told:
            gate.hear(item)
        assert known(gate) == true(world.present())


@given(DEFINITIONS, st.integers(1, 2), LIVES, st.integers(0, 25), st.integers(0, 4))
@example({"restart": "always", **CHECK}, 1, WENT_ON_AFTER_A_PAUSE, 3, 2)
def test_gate_that_looked_later_comes_to_know_the_same_though_it_hears_of_some_things_twice(
    base: dict[str, t.Any], replicas: int, life: Life, looked_after: int, late: int
) -> None:
    world = World(definition(base, replicas))
    steps = world.live(life)
    for _step in itertools.islice(steps, looked_after):
        pass
    gate = world.gate()
    # Subscribed before the look: the last of what is known by then is still on the way.
    heard = max(len(world.events) - late, 0)
    at_the_look = {f"c{machine.number}": replace(machine) for machine in world.present()}
    list(steps)
    for item in world.events[heard:]:
        gate.hear(item)
    expected = true(world.present())
    touched = {item["Actor"]["ID"] for item in world.events[heard:]}
    for name, machine in at_the_look.items():
        # How one ended that is about to be started, or that restarts, does not count.
        ended = machine.status == "restarting" or (machine.status == "exited" and machine.exit_code)
        if ended and expected.get(name, ("",))[0] == "exited":
            assert known(gate)[name][0] in ("created", "exited")
            expected[name] = known(gate)[name]
        elif name not in touched and machine.status == "exited":
            expected[name] = known(gate)[name]
    assert known(gate) == expected


@given(DEFINITIONS, st.integers(1, 3), LIVES, st.sampled_from([0.0, 4.9, 5.0, 60.0]))
@example({"restart": "always", **CHECK}, 1, WENT_ON_AFTER_A_PAUSE, 0.0)
def test_gate_never_opens_while_a_wanted_container_is_missing(
    base: dict[str, t.Any], replicas: int, life: Life, rest: float
) -> None:
    world = World(definition(base, replicas))
    gate = world.gate()
    for told in world.live(life):
        for item in told:
            gate.hear(item)
        [verdict] = gate.verdicts(world.now + rest)
        sound = [machine for machine in world.present() if machine.is_sound(world.wanted, world.now + rest)]
        if verdict.status == "ready":
            assert len(sound) >= replicas
        elif not any(machine.blemished for machine in world.present()):
            assert verdict.status in ("waiting", "timeout")
            assert len(sound) < replicas


@given(DEFINITIONS, LIVES, st.sets(st.integers(0, 2)))
def test_what_becomes_of_replaced_containers_is_none_of_its_concern(
    base: dict[str, t.Any], life: Life, going: set[int]
) -> None:
    world = World(definition(base, 1))
    replaced = frozenset(f"c{number}" for number in going)
    gate = Gate((world.wanted,), replaced=replaced)
    alone = Gate((world.wanted,))
    for machine in world.machines:
        if machine.number not in going:
            gate.see(machine.inspected())
            alone.see(machine.inspected())
    for told in world.live(life):
        for item in told:
            gate.hear(item)
            if item["Actor"]["ID"] not in replaced:
                alone.hear(item)
        assert gate.tracks == alone.tracks
        assert gate.verdicts(world.now) == alone.verdicts(world.now)
        assert gate.wait_until(world.now) == alone.wait_until(world.now)
        blemished = [machine for machine in world.present() if machine.blemished and machine.number not in going]
        assert blemished or gate.verdicts(world.now)[0].status != "failed"


@given(DEFINITIONS, LIVES, LIVES)
def test_past_of_what_is_started_does_not_count(base: dict[str, t.Any], past: Life, future: Life) -> None:
    """A gate for present containers that are started judges as one for containers that were made just now."""
    world = World(definition(base, 1))
    list(world.live(past))
    idle = [machine for machine in world.present() if machine.status in ("created", "exited")]
    gate = Gate((world.wanted,), starting=frozenset(f"c{machine.number}" for machine in idle), patient=True)
    new = Gate((world.wanted,))
    for machine in idle:
        gate.see(machine.inspected())
        new.see(replace(machine, status="created", health="none", exit_code=0, started=0.0).inspected())
    assert gate.tracks == new.tracks
    names = {f"c{machine.number}" for machine in idle}
    for told in world.live(future):
        for item in told:
            if item["Actor"]["ID"] in names:
                gate.hear(item)
                new.hear(item)
        assert gate.verdicts(world.now) == new.verdicts(world.now)


# What it does not listen to


@pytest.mark.parametrize(
    "strange",
    [
        event("die", START, service="db", exitCode="1"),
        event("start", START, **{_engine.ONEOFF_LABEL: "True"}),
        {"Action": "die", "Actor": {"ID": "x", "Attributes": {"exitCode": "1"}}, "timeNano": 1},
    ],
    ids=["service nobody asked for", "compose run", "no container of Compose"],
)
def test_other_containers_are_not_listened_to(strange: dict[str, t.Any]) -> None:
    gate = Gate((wants(),))
    gate.hear(strange)
    assert gate.tracks == {}


def test_signal_to_reload_is_no_stop() -> None:
    gate = Gate((wants({"restart": "no"}),))
    for item in (event("start", START), event("kill", START + 1, signal="1"), event("die", START + 2, exitCode="1")):
        gate.hear(item)
    assert gate.verdicts(START + 2)[0].status == "failed"


def test_container_made_after_the_look_is_taken_in() -> None:
    gate = Gate((wants(),))
    gate.hear(event("create", START))
    assert gate.verdicts(START)[0].reason == "created"
    gate.hear(event("start", START + 1))
    assert gate.wait_until(START + 1) == START + 1 + STABLE
    assert gate.verdicts(START + 1 + STABLE)[0].status == "ready"


# What it sees


def test_container_that_runs_for_long_is_ready_at_once() -> None:
    gate = Gate((wants(),))
    gate.see(container())
    assert gate.verdicts(START + 60)[0] == _health.Verdict("web", "ready", "running without a restart")


def test_sick_container_fails_at_once_if_nothing_changes_and_gets_its_time_if_something_does() -> None:
    for patient, status in ((False, "failed"), (True, "waiting")):
        gate = Gate((wants(CHECK),), patient=patient)
        gate.see(container(health="unhealthy"))
        assert gate.verdicts(START + 1e6)[0].status == status
        assert gate.wait_until(START + 1e6) == float("inf")
    gate.hear(event("health_status: healthy", START + 1e6))
    assert gate.verdicts(START + 1e6)[0].status == "ready"


def test_exit_of_a_container_seen_restarting_counts_once() -> None:
    gate = Gate((wants(),))
    gate.see(container(status="restarting", exit_code=1))
    gate.hear(event("die", START, exitCode="1"))
    assert gate.verdicts(START)[0].status == "waiting"
    gate.hear(event("start", START + 1))
    assert gate.verdicts(START + 2)[0].status == "waiting"
    gate.hear(event("die", START + 3, exitCode="1"))
    assert gate.verdicts(START + 3)[0].reason == "is in a crash loop: it exited 2 times, last with code 1"


def test_finished_one_shot_is_ready_though_nothing_is_told_of_it() -> None:
    gate = Gate((wants({"restart": "no"}, must_finish=True),))
    gate.see(container(status="exited"))
    assert gate.verdicts(START)[0] == _health.Verdict("web", "ready", "finished with code 0")


def test_present_container_that_is_started_is_not_ready_before_it_is() -> None:
    gate = Gate((wants({"restart": "no"}),), starting=frozenset({"c1"}))
    gate.see(container(status="exited"))
    assert gate.verdicts(START)[0].status == "waiting"
    assert not gate.reached("web", "service_started", START)


def test_refusal_of_the_engine_is_a_failure_at_once() -> None:
    gate = Gate((wants(),))
    gate.see(container(status="created"))
    gate.could_not_start("c1", "exec: no such file")
    assert gate.verdicts(START)[0] == _health.Verdict("web", "failed", "could not be started")


def test_container_that_somebody_removed_before_it_was_started_is_missing() -> None:
    gate = Gate((wants(),))
    gate.see(container(status="created"))
    gate.hear(event("destroy", START))
    gate.could_not_start("c1", "No such container")
    assert gate.verdicts(START)[0] == _health.Verdict("web", "waiting", "not created yet")


# Conditions of depends_on


@pytest.mark.parametrize(
    ("events", "started", "healthy"),
    [
        ((), False, False),
        (("create",), False, False),
        (("create", "start"), True, False),
        (("start", "health_status: healthy"), True, True),
        (("start", "health_status: healthy", "pause"), False, False),
        (("start", "health_status: healthy", "die"), False, False),
        (("start", "health_status: unhealthy"), True, False),
    ],
)
def test_service_is_started_when_it_runs_and_healthy_when_it_is(
    events: tuple[str, ...], started: bool, healthy: bool
) -> None:
    gate = Gate((wants(CHECK),))
    for number, action in enumerate(events):
        gate.hear(event(action, START + number, exitCode="1"))
    assert gate.reached("web", "service_started", START + 9) == started
    assert gate.reached("web", "service_healthy", START + 9) == healthy


def test_service_is_started_only_with_all_of_its_replicas() -> None:
    gate = Gate((wants({"scale": 2}),))
    gate.hear(event("start", START))
    gate.hear(event("create", START, number=2))
    assert not gate.reached("web", "service_started", START + 60)
    gate.hear(event("start", START + 1, number=2))
    assert gate.reached("web", "service_started", START + 1)


def test_service_without_healthcheck_is_healthy_when_it_is_stable() -> None:
    gate = Gate((wants(),))
    gate.hear(event("start", START))
    assert not gate.reached("web", "service_healthy", START + STABLE - 0.1)
    assert gate.reached("web", "service_healthy", START + STABLE)


@pytest.mark.parametrize("code", [0, 1])
def test_one_shot_is_completed_when_it_ended_with_0(code: int) -> None:
    gate = Gate((wants({"restart": "no"}, must_finish=True),))
    gate.hear(event("start", START))
    assert not gate.reached("web", "service_completed_successfully", START + 60)
    assert gate.reached("web", "service_started", START + 60)
    gate.hear(event("die", START + 61, exitCode=str(code)))
    assert gate.reached("web", "service_completed_successfully", START + 61) == (code == 0)
    assert gate.reached("web", "service_started", START + 61) == (code == 0)


def test_dependency_on_nothing_is_met() -> None:
    gate = Gate((wants({"scale": 0}),))
    for condition in ("service_started", "service_healthy"):
        assert gate.reached("web", condition, START)


# The error


def test_closed_gate_names_the_services_and_the_fix_of_the_first() -> None:
    known = {"state": "exited", "exit_code": 1, "oom_killed": False, "restart_count": 0, "error": "", "probes": ()}
    evidence = [
        _diagnosis.Evidence(service=name, container=f"shop-{name}-1", verdict="exited with code 1", log="boom", **known)
        for name in ("web", "db")
    ]
    error = GateClosed(evidence)
    assert "web, db did not become ready" in str(error)
    assert [item["service"] for item in error.result()["failures"]] == ["web", "db"]
    assert error.result()["fix"] == _diagnosis.diagnose(evidence[0])[0].fix


def test_restart_that_the_engine_failed_in_without_a_word_is_found_by_a_look() -> None:
    gate = Gate((wants(),))
    for name, now in (("start", START), ("die", START + 1)):
        gate.hear(event(name, now, exitCode="3"))
    gate.look_again(container(status="restarting"))
    assert gate.verdicts(START + 2)[0].status == "waiting"
    gate.look_again(container(status="exited", error="no space left on device"))
    assert gate.verdicts(START + 2)[0] == _health.Verdict("web", "failed", "could not be started")


def test_error_of_an_earlier_start_does_not_count_before_the_next_one() -> None:
    failed = container(status="exited", error="port is already allocated")
    gate = Gate((wants(),), starting=frozenset({failed.id}))
    gate.see(failed)
    gate.look_again(failed)
    assert gate.verdicts(START)[0].status == "waiting"
