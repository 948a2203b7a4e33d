# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout costs beside the time the containers need: ours beside Compose and community.docker, in one run.

Six services, each of which waits for the one before it (`condition: service_healthy`), is ready a second after its
start, and is looked at every 0.5 s until then. They are brought up from nothing, and again with nothing to change, by
`docker compose up -d --wait`, docker_compose_v2 with `wait: true`, and compose_up. Then each is given a service that
exits with 1 half a second after every start. The modules run as on a host, in a Python of their own, without Ansible's
start; compose_up and the command take turns. Ends with 1 if compose_up breaks a promise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import tools

SERVICES = 6
COLD_RUNS = 3
NO_CHANGE_RUNS = 7
MAX_NO_CHANGE_RATIO = 0.25
MAX_COLD_RATIO = 0.85
MAX_SECONDS_AFTER_SECOND_EXIT = 2.0
PATIENCE = 20
"""Seconds after which the others are no longer waited for."""


@dataclass(frozen=True)
class Project:
    """A Compose project on disk."""

    directory: Path
    name: str = "shipshape-bench-rollout"

    def declare(self, services: t.Mapping[str, t.Any]) -> None:
        """Write compose.yaml; JSON is YAML."""
        model = {"name": self.name, "services": services}
        (self.directory / "compose.yaml").write_text(json.dumps(model), encoding="utf-8")

    def compose(self, *arguments: str) -> tools.Done:
        """Run `docker compose`."""
        return tools.command(["docker", "compose", "--project-directory", str(self.directory), *arguments])

    def down(self) -> None:
        """Remove its containers and networks."""
        tools.run(["docker", "compose", "--project-name", self.name, "down", "--remove-orphans", "--timeout", "0"])


Up = t.Callable[[Project], tools.Done]

TOOLS: dict[str, Up] = {
    "compose": lambda project: project.compose("up", "-d", "--wait", "--wait-timeout", str(PATIENCE)),
    "module": lambda project: tools.module(
        "community.docker.docker_compose_v2",
        {"project_src": str(project.directory), "state": "present", "wait": True, "wait_timeout": PATIENCE},
    ),
    "ours": lambda project: tools.module("shipshape.stack.compose_up", {"project_src": str(project.directory)}),
}


def shell(command: str, **more: t.Any) -> dict[str, t.Any]:
    """Return a service that runs a shell command and stops at once."""
    return {
        "image": tools.newest_image("shipshape/python"),
        "command": ["sh", "-c", command],
        "stop_grace_period": "0s",
        "restart": "unless-stopped",
        **more,
    }


def chain() -> dict[str, t.Any]:
    """Return the six services."""
    pace = {"interval": "5s", "timeout": "5s", "retries": 3, "start_period": "30s", "start_interval": "500ms"}
    services = {}
    for number in range(1, SERVICES + 1):
        service = shell(
            "sleep 1; touch /tmp/ready; exec sleep 3600",
            healthcheck={"test": ["CMD", "test", "-e", "/tmp/ready"], **pace},
        )
        if number > 1:
            service["depends_on"] = {f"service{number - 1}": {"condition": "service_healthy"}}
        services[f"service{number}"] = service
    return services


def timed(name: str, project: Project) -> float:
    """Bring the project up and return the seconds; end the benchmark if that fails."""
    done = TOOLS[name](project)
    if done.code:
        sys.exit(f"{name} does not bring the services up:\n{done.output[-5000:]}")
    return done.seconds


def cold_starts(project: Project) -> dict[str, list[float]]:
    """Bring the services up from nothing, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in TOOLS}
    for number in range(COLD_RUNS):
        for name in TOOLS:
            project.down()
            seconds[name].append(timed(name, project))
        tools.say(f"cold start {number + 1} of {COLD_RUNS}: {latest(seconds)}")
    return seconds


def no_changes(project: Project) -> dict[str, list[float]]:
    """Bring the services up again, in turns; each of the tools has made them."""
    seconds: dict[str, list[float]] = {name: [] for name in TOOLS}
    for name in TOOLS:
        project.down()
        timed(name, project)
        for _run in range(NO_CHANGE_RUNS):
            seconds[name].append(timed(name, project))
            if name != "compose":
                seconds["compose"].append(timed("compose", project))
        tools.say(f"nothing to change, median: {name} {statistics.median(seconds[name]):.2f} s")
    return seconds


def latest(seconds: t.Mapping[str, t.Sequence[float]]) -> str:
    """Return the last value of each."""
    return ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())


@dataclass(frozen=True)
class Crash:
    """What a tool made of a crash loop: its exit code, and the seconds from the second exit to its own end."""

    code: int
    after_second_exit: float


def crash_loop(name: str, project: Project) -> Crash:
    """Let a tool bring up a service that exits after every start."""
    project.down()
    told = project.directory / "events"
    argv = ["docker", "events", "--filter", f"label=com.docker.compose.project={project.name}"]
    with told.open("w", encoding="utf-8") as output:
        watch = subprocess.Popen([*argv, "--filter", "event=die", "--format", "{{.TimeNano}}"], stdout=output)
        # The Engine tells only what happens after the subscription.
        time.sleep(0.5)
        done = TOOLS[name](project)
        ended = time.time()
        # Compose calls the loop running before the second exit: it is waited for.
        time.sleep(3)
        watch.terminate()
        watch.wait()
    project.down()
    exits = [int(line) / 1e9 for line in told.read_text(encoding="utf-8").splitlines()]
    if len(exits) < 2:
        sys.exit(f"{name}: the service exited {len(exits)} times, so this was no crash loop:\n{done.output[-3000:]}")
    return Crash(done.code, ended - exits[1])


def row(label: str, seconds: t.Mapping[str, t.Sequence[float]], promised: float) -> float:
    """Print a row with the medians; return the ratio of ours to Compose's."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["ours"] / medians["compose"]
    values = "".join(f"{medians[name]:>10.2f}" for name in TOOLS)
    spread = ", ".join(f"{name} {min(values):.2f}-{max(values):.2f}" for name, values in seconds.items())
    print(f"{label:<26}{values}{ratio:>8.2f}{promised:>10.2f}   {spread}")
    return ratio


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="What a rollout costs beside the time the containers need.")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipshape-bench-") as scratch:
        project = Project(Path(scratch))
        project.declare(chain())
        try:
            unchanged, cold = no_changes(project), cold_starts(project)
            project.down()
            project.declare({"crashes": shell("sleep 0.5; exit 1")})
            crashes = {name: crash_loop(name, project) for name in TOOLS}
        finally:
            project.down()
    print(f"\n{'seconds, median':<26}{''.join(f'{name:>10}' for name in TOOLS)}{'ratio':>8}{'promised':>10}   range")
    ratio = row("nothing to change", unchanged, MAX_NO_CHANGE_RATIO)
    cold_ratio = row(f"cold start, {SERVICES} in a chain", cold, MAX_COLD_RATIO)
    values = "".join(f"{crash.after_second_exit:>10.2f}" for crash in crashes.values())
    codes = ", ".join(f"{name} {crash.code}" for name, crash in crashes.items())
    limit = MAX_SECONDS_AFTER_SECOND_EXIT
    print(
        f"{'crash loop, after 2nd exit':<26}{values}{'':>8}{limit:>10.2f}   exit codes: {codes} (0: taken for success)"
    )
    if options.json:
        told = {name: vars(crash) for name, crash in crashes.items()}
        results = {"nothing to change": unchanged, "cold start": cold, "crash loop": told}
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    broken = []
    if ratio > MAX_NO_CHANGE_RATIO:
        broken.append(f"nothing to change: {ratio:.2f} of Compose's time, promised {MAX_NO_CHANGE_RATIO}")
    if cold_ratio > MAX_COLD_RATIO:
        broken.append(f"cold start: {cold_ratio:.2f} of Compose's time, promised {MAX_COLD_RATIO}")
    if not crashes["ours"].code:
        broken.append("a crash loop was taken for success")
    if crashes["ours"].after_second_exit > limit:
        broken.append(f"a crash loop was called {crashes['ours'].after_second_exit:.2f} s after its second exit")
    for problem in broken:
        print(f"BROKEN {problem}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
