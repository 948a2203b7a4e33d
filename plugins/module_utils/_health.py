# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health gate: container events in, verdicts out. No I/O; every time is seconds since the epoch."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

Status = t.Literal["ready", "failed", "timeout", "waiting"]
Restart = t.Literal["always", "on-failure", "no"]

CRASH_LIMIT = 2
"""Exits of a restarting container while we wait that make it a crash loop."""
TIMEOUT_MARGIN = 10.0
"""Seconds granted beyond what the healthcheck itself allows."""

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds(duration: str | None, default: float) -> float:
    """Return a Compose duration (``1m30s``, ``500ms``) in seconds. Compose spec: durations."""
    if not duration:
        return default
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|us|µs|ns|m|s)", duration))


@dataclass(frozen=True)
class Expectation:
    """What one service has to reach. ``timeout`` and ``stable_for`` are seconds.

    ``restart`` is what the Engine does after an exit; ``may_finish`` says that an exit with 0 is a success.
    """

    service: str
    replicas: int
    has_healthcheck: bool
    must_finish: bool
    may_finish: bool
    restart: Restart
    timeout: float
    stable_for: float


@dataclass(frozen=True)
class Track:
    """What is known of one container.

    ``since`` is its last start; its timeout counts from ``waiting_since``, the last event that made it not ready (0:
    none yet). ``error`` is why the Engine could not start it.
    ``told_to_stop``: the next exit is no crash, Compose stops containers in order to restart or replace them.
    """

    id: str
    service: str
    status: str
    health: str = "none"
    exit_code: int = 0
    oom_killed: bool = False
    exits: int = 0
    error: str = ""
    told_to_stop: bool = False
    since: float = 0.0
    waiting_since: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The gate's word on one service; ``reason`` is a sentence for a person."""

    service: str
    status: Status
    reason: str


def expectation(
    service: str,
    definition: t.Mapping[str, t.Any],
    must_finish: bool,
    *,
    wait_timeout: float,
    stable_for: float,
    image_check: t.Mapping[str, t.Any] | None = None,
) -> Expectation:
    """Derive the expectation from a service of ``docker compose config``.

    ``image_check`` is the healthcheck of its image, which the service's own overrides key by key.
    """
    check = {**(image_check or {}), **(definition.get("healthcheck") or {})}
    test = check.get("test") or []
    has_healthcheck = bool(test) and test != ["NONE"] and not check.get("disable")
    timeout = wait_timeout
    if has_healthcheck:
        # Engine defaults: interval 30s, timeout 30s, retries 3, start_period 0s.
        rounds = seconds(check.get("interval"), 30.0) + seconds(check.get("timeout"), 30.0)
        patience = seconds(check.get("start_period"), 0.0) + rounds * int(check.get("retries") or 3)
        timeout = min(wait_timeout, patience + TIMEOUT_MARGIN)
    restart = _restart(definition)
    return Expectation(
        service=service,
        replicas=replicas(definition),
        has_healthcheck=has_healthcheck,
        must_finish=must_finish,
        may_finish=must_finish or (restart != "always" and not has_healthcheck),
        restart=restart,
        timeout=timeout,
        stable_for=stable_for,
    )


def replicas(definition: t.Mapping[str, t.Any]) -> int:
    """Return how many containers the service wants: ``scale``, else ``deploy.replicas``, else 1."""
    wanted = definition.get("scale")
    if wanted is None:
        wanted = (definition.get("deploy") or {}).get("replicas")
    return 1 if wanted is None else int(wanted)


def advance(track: Track, action: str, *, exit_code: int, now: float) -> Track | None:
    """Return the container after one Engine event, or None when it no longer exists."""
    match action:
        case "start":
            return replace(track, status="running", health="none", told_to_stop=False, since=now, waiting_since=now)
        case "kill":
            return replace(track, told_to_stop=True)
        case "die" if track.told_to_stop:
            return replace(track, status="stopped")
        case "die":
            return replace(track, status="exited", exit_code=exit_code, exits=track.exits + 1, waiting_since=now)
        case "oom":
            return replace(track, oom_killed=True)
        case "pause" if track.status in ("running", "paused"):
            # The Engine forgets that it is healthy without an event, and tells it anew after the next probe.
            health = "starting" if track.health == "healthy" else track.health
            return replace(track, status="paused", health=health, waiting_since=now)
        case "unpause" if track.status == "paused":
            return replace(track, status="running")
        case "destroy":
            return None
        case _ if action.startswith("health_status: "):
            health = action.removeprefix("health_status: ")
            since = now if track.health == "healthy" != health else track.waiting_since
            return replace(track, health=health, waiting_since=since)
        case _:
            return track


def asks_to_stop(signal: str) -> bool:
    """Return whether a signal, by its number, is meant to end a container: not HUP, USR1, USR2 and WINCH."""
    return signal not in ("1", "10", "12", "28")


def failure(track: Track, wanted: Expectation) -> str:
    """Return why this container can no longer become ready, or an empty string."""
    finished_well = track.status == "exited" and track.exit_code == 0 and wanted.may_finish
    if track.oom_killed:
        return "was killed by the kernel because it reached its memory limit"
    if track.status == "created" and track.error:
        return "could not be started"
    if track.status == "exited" and not finished_well and not _comes_back(track, wanted):
        meant = "; with a healthcheck it is meant to keep running" if track.exit_code == 0 else ""
        return f"exited with code {track.exit_code}{meant}"
    if track.exits >= CRASH_LIMIT and not finished_well:
        return f"is in a crash loop: it exited {track.exits} times, last with code {track.exit_code}"
    # While it stops it no longer answers its healthcheck: that is no sickness.
    if track.health == "unhealthy" and wanted.has_healthcheck and not track.told_to_stop:
        return "is unhealthy: its healthcheck failed more often than `retries` allows"
    if track.status == "dead":
        return "is dead: the Engine could not remove it"
    return ""


def is_ready(track: Track, wanted: Expectation, now: float) -> bool:
    """Return whether the container counts as ready at ``now``."""
    if track.status == "exited":
        return wanted.may_finish and track.exit_code == 0
    if track.status != "running" or wanted.must_finish:
        return False
    if wanted.has_healthcheck:
        return track.health == "healthy"
    return now >= track.since + wanted.stable_for


def judge(wanted: Expectation, tracks: t.Iterable[Track], now: float) -> Verdict:
    """Return the verdict on one service from all of its containers."""
    own = [track for track in tracks if track.service == wanted.service]
    for track in own:
        reason = failure(track, wanted)
        if reason:
            return Verdict(wanted.service, "failed", reason)
    ready = [track for track in own if is_ready(track, wanted, now)]
    if len(ready) >= wanted.replicas:
        return Verdict(wanted.service, "ready", _ready_reason(wanted, ready))
    # A container that Compose stopped is about to be started again or replaced: its time has not begun.
    starting = [track for track in own if track not in ready and track.waiting_since and track.status != "stopped"]
    late = [track for track in starting if now >= track.waiting_since + wanted.timeout]
    if late:
        return Verdict(wanted.service, "timeout", f"is still {_state(late[0], wanted)} after {wanted.timeout:.0f} s")
    pending = [track for track in own if track not in ready]
    state = _state(pending[0], wanted) if pending else "not created yet"
    return Verdict(wanted.service, "waiting", state)


def next_check(wanted: t.Iterable[Expectation], tracks: t.Iterable[Track], now: float) -> float:
    """Return the next moment at which a verdict can change without an event (infinity: never).

    The moments are computed as ``judge`` and ``is_ready`` compute them: a difference in the last digit, and a verdict
    would change just after the only look at it.
    """
    by_service = {expected.service: expected for expected in wanted}
    moments = [float("inf")]
    for track in tracks:
        expected = by_service.get(track.service)
        if expected is None or not track.waiting_since:
            continue
        moments.append(track.waiting_since + expected.timeout)
        if not expected.has_healthcheck:
            moments.append(track.since + expected.stable_for)
    return min(moment for moment in [*moments, float("inf")] if moment > now)


def _state(track: Track, wanted: Expectation) -> str:
    if track.status != "running" or not wanted.has_healthcheck:
        return track.status
    # The Engine tells of no health before the first change of it.
    return f"running ({'starting' if track.health == 'none' else track.health})"


def _restart(definition: t.Mapping[str, t.Any]) -> Restart:
    policy = (definition.get("deploy") or {}).get("restart_policy") or {}
    name = str(policy.get("condition") or definition.get("restart") or "no")
    if re.match(r"always|unless-stopped|any$", name):
        return "always"
    return "on-failure" if name.startswith("on-failure") else "no"


def _comes_back(track: Track, wanted: Expectation) -> bool:
    # Compose gives up on a one-shot that others wait for after its first failed exit.
    if wanted.must_finish or wanted.restart == "no":
        return False
    return wanted.restart == "always" or track.exit_code != 0


def _ready_reason(wanted: Expectation, ready: t.Sequence[Track]) -> str:
    if ready and all(track.status == "exited" for track in ready):
        return "finished with code 0"
    return "healthy" if wanted.has_healthcheck else "running without a restart"
