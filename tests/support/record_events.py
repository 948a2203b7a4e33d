# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record what a real Engine tells the health gate, as data for ``test_gate_recorded.py``.

Needs an Engine, Compose, and the image ``shipshape/python`` (``./run demo`` makes it). With a newer Engine:

    PYTHONPATH=.cache/collections .cache/venv-requirements-dev-*/bin/python tests/support/record_events.py [NAME...]

Each recording is one JSON file: a service of a Compose file, and steps in the order in which somebody who subscribed
first got to know of them: ``event``; ``look``, the containers as inspected at that moment; ``refused``, what could not
be started and the Engine's word on it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _engine

DATA = Path(__file__).parents[1] / "unit/plugins/module_utils/data/events"
PROJECT = "shipshape-record"
KEPT = (_engine.SERVICE_LABEL, _engine.ONEOFF_LABEL, "exitCode", "signal")
SEEN = ("id", "name", "service", "status", "health", "exit_code", "oom_killed", "restart_count", "started_at", "error")
PATIENCE = 60.0

SLEEP = ["sleep", "infinity"]
ALWAYS = {"restart": "always", "stop_grace_period": "1s"}


def check(test: str) -> dict[str, t.Any]:
    """Return a quick healthcheck."""
    return {"test": ["CMD-SHELL", test], "interval": "500ms", "timeout": "5s", "retries": 2}


class Recorder:
    """A project of one service, and what is told about it."""

    def __init__(self, image: str, definition: dict[str, t.Any]) -> None:
        self.client = _engine.connect()
        self.service = {"image": image, **definition}
        self.steps: list[dict[str, t.Any]] = []
        self._stream = _engine.EventStream(self.client, PROJECT)

    def compose(self, *arguments: str) -> None:
        """Run Compose on the service as it is now."""
        model = json.dumps({"name": PROJECT, "services": {"web": self.service}})
        subprocess.run(
            ["docker", "compose", "-f", "-", *arguments], input=model, text=True, check=True, capture_output=True
        )

    def inspect(self) -> list[dict[str, t.Any]]:
        """Return the containers there are."""
        found = _engine.containers(self.client, PROJECT)
        return [{key: value for key, value in dataclasses.asdict(item).items() if key in SEEN} for item in found]

    def look(self) -> None:
        """Note what an inspection shows now. The events of before may still be on the way, as for everybody."""
        self.steps.append({"look": self.inspect(), "now": time.time()})

    def up(self) -> None:
        """Make and start the containers as a rollout does."""
        self.compose("create")
        self.look()
        refused = {}
        for container in _engine.containers(self.client, PROJECT):
            words = _engine.start(self.client, container)
            if words:
                refused[container.id] = words
        self._take_in_what_came()
        self.steps.append({"refused": refused, "now": time.time()})
        self.look()

    def until(self, action: str, times: int = 1) -> None:
        """Take events in until this one came so often since the beginning."""
        deadline = time.monotonic() + PATIENCE
        while [step["event"]["Action"] for step in self.steps if "event" in step].count(action) < times:
            event = self._stream.next(deadline - time.monotonic())
            if event is None:
                raise SystemExit(f"no event {action!r} within {PATIENCE:g} s; there were: {self.steps}")
            self._take_in(event)
        self.look()

    def _take_in_what_came(self) -> None:
        self._stream.put({"Action": "shipshape.now"})
        while (event := self._stream.next(PATIENCE)) and event["Action"] != "shipshape.now":
            self._take_in(event)

    def _take_in(self, event: dict[str, t.Any]) -> None:
        actor = event["Actor"]
        attributes = {key: value for key, value in actor["Attributes"].items() if key in KEPT}
        kept = {"Action": event["Action"], "Actor": {"ID": actor["ID"], "Attributes": attributes}}
        self.steps.append({"event": {**kept, "timeNano": event["timeNano"]}})

    def docker(self, *arguments: str) -> None:
        """Run a docker command on the container."""
        subprocess.run(["docker", *arguments[:1], f"{PROJECT}-web-1", *arguments[1:]], check=True, capture_output=True)

    def finish(self) -> None:
        """Take in what is still on the way, and look once more."""
        self._take_in_what_came()
        self.look()

    def close(self) -> None:
        """Remove everything."""
        self.compose("down", "--timeout", "0")
        self._stream.close()


def healthy(recorder: Recorder) -> None:
    recorder.up()
    recorder.until("health_status: healthy")


def unhealthy(recorder: Recorder) -> None:
    recorder.up()
    recorder.until("health_status: unhealthy")


def flapping(recorder: Recorder) -> None:
    healthy(recorder)
    recorder.docker("exec", "rm", "/tmp/ok")
    recorder.until("health_status: unhealthy")
    recorder.docker("exec", "touch", "/tmp/ok")
    recorder.until("health_status: healthy", 2)


def crashes(recorder: Recorder) -> None:
    recorder.up()
    recorder.until("die", 3)


def recovers(recorder: Recorder) -> None:
    recorder.up()
    recorder.until("start", 2)


def dies(recorder: Recorder) -> None:
    recorder.up()
    recorder.until("die")


def started(recorder: Recorder) -> None:
    recorder.up()
    recorder.until("create")


def paused(recorder: Recorder) -> None:
    healthy(recorder)
    recorder.docker("pause")
    recorder.until("pause")
    recorder.docker("unpause")
    recorder.until("unpause")
    recorder.until("health_status: healthy", 2)


def stopped_and_started(recorder: Recorder) -> None:
    healthy(recorder)
    recorder.docker("stop")
    recorder.until("stop")
    recorder.docker("start")
    recorder.until("health_status: healthy", 2)


def recreated_by_compose(recorder: Recorder) -> None:
    healthy(recorder)
    recorder.service["environment"] = {"RELEASE": "2"}
    recorder.compose("up", "--detach")
    recorder.until("health_status: healthy", 2)


RECORDINGS: dict[str, tuple[dict[str, t.Any], t.Callable[[Recorder], None]]] = {
    "running_without_healthcheck": ({"command": SLEEP, **ALWAYS}, started),
    "healthy": ({"command": SLEEP, "healthcheck": check("true"), **ALWAYS}, healthy),
    "unhealthy": ({"command": SLEEP, "healthcheck": check("false"), **ALWAYS}, unhealthy),
    "health_flapping": (
        {
            "command": ["sh", "-c", "touch /tmp/ok; exec sleep infinity"],
            "healthcheck": check("test -e /tmp/ok"),
            **ALWAYS,
        },
        flapping,
    ),
    "crash_loop": ({"command": ["sh", "-c", "exit 3"], **ALWAYS}, crashes),
    "one_restart": (
        {"command": ["sh", "-c", "test -e /tmp/again && exec sleep infinity; touch /tmp/again; exit 1"], **ALWAYS},
        recovers,
    ),
    "one_shot_0": ({"command": ["sh", "-c", "exit 0"]}, dies),
    "one_shot_1": ({"command": ["sh", "-c", "exit 1"]}, dies),
    "memory_limit": (
        {"command": ["python3", "-c", "bytearray(10**9)"], "mem_limit": "32m", "memswap_limit": "32m"},
        dies,
    ),
    "not_executable": ({"entrypoint": ["/etc/passwd"], **ALWAYS}, started),
    "not_executable_behind_an_init": ({"command": ["/etc/passwd"], **ALWAYS}, crashes),
    "paused": ({"command": SLEEP, "healthcheck": check("true"), **ALWAYS}, paused),
    "stopped_and_started": ({"command": SLEEP, "healthcheck": check("true"), **ALWAYS}, stopped_and_started),
    "recreated_by_compose": ({"command": SLEEP, "healthcheck": check("true"), **ALWAYS}, recreated_by_compose),
}


def main(names: t.Sequence[str]) -> None:
    """Record these, or all."""
    client = _engine.connect()
    images = [tag for image in client.images.list("shipshape/python") for tag in image.tags]
    if not images:
        raise SystemExit("There is no image shipshape/python here. Fix: ./run demo")
    version = client.version()["Version"]
    DATA.mkdir(parents=True, exist_ok=True)
    for name in names or RECORDINGS:
        definition, story = RECORDINGS[name]
        recorder = Recorder(images[0], definition)
        with contextlib.closing(recorder):
            story(recorder)
            recorder.finish()
        lines = ",\n".join(f"  {json.dumps(step, sort_keys=True)}" for step in recorder.steps)
        service = json.dumps(definition, sort_keys=True)
        text = f'{{"engine": "{version}",\n"service": {service},\n"steps": [\n{lines}\n]}}\n'
        (DATA / f"{name}.json").write_text(text, encoding="utf-8")
        print(f"{name}: {len(recorder.steps)} steps")


if __name__ == "__main__":
    main(sys.argv[1:])
