# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of a run that has nothing to change: ours beside the playbook a team writes by hand, same example, same run.

Two bare servers, one with `playbooks/site.yml`, one with `converge/baseline.yml`. Once both serve the example, the two
are run again in turns, over ssh with pipelining and the ansible.cfg of this repository. Every run opens its own ssh
connection, as one does that is started by hand. Ends with 1 if ours takes more than MAX_RATIO of the other's time.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PLAYBOOKS = {"baseline": "benchmarks/converge/baseline.yml", "ours": "playbooks/site.yml"}
STATE = REPOSITORY / ".cache" / "converge"
"""Where Molecule keeps inventory, key and addresses of the hosts."""
DOMAIN = "shop.example.com"
PROGRAMS = Path(sys.executable).parent

RUNS = 5
MAX_RATIO = 0.7
SLOWEST = 10


@dataclass(frozen=True)
class Run:
    """One run of a playbook: seconds from start to end, what Ansible counts as ok and changed, seconds of each task."""

    seconds: float
    ok: int
    changed: int
    tasks: t.Mapping[str, float]


def say(text: str) -> None:
    """Print progress at once."""
    print(f"-- {text}", flush=True)


def environment(**more: str) -> dict[str, str]:
    """Return what Molecule and Ansible are told by environment variables."""
    return {
        **os.environ,
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "MOLECULE_GLOB": "benchmarks/*/molecule.yml",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(STATE),
        **more,
    }


def molecule(step: str) -> None:
    """Let Molecule create or destroy the hosts."""
    argv = [str(PROGRAMS / "molecule"), step, "--scenario-name", "converge"]
    done = subprocess.run(argv, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"molecule {step} failed:\n{done.stdout[-5000:]}\n{done.stderr[-3000:]}")


def play(host: str) -> Run:
    """Run the playbook of ``host``; end the benchmark with the failed task if it fails."""
    argv = [str(PROGRAMS / "ansible-playbook"), "--inventory", str(STATE / "inventory"), "--limit", host]
    with tempfile.TemporaryDirectory(prefix="shipshape-") as sockets:
        settings = environment(ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", ANSIBLE_SSH_CONTROL_PATH_DIR=sockets)
        started = time.monotonic()
        done = subprocess.run(
            [*argv, PLAYBOOKS[host]], cwd=REPOSITORY, env=settings, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - started
    if done.returncode:
        said = failure(done.stdout, host) or done.stdout[-5000:]
        sys.exit(f"{PLAYBOOKS[host]} failed:\n{said}\n{done.stderr[-3000:]}")
    return read(json.loads(done.stdout), host, seconds)


def read(output: t.Mapping[str, t.Any], host: str, seconds: float) -> Run:
    """Take what counts from the output of the callback ansible.posix.json."""
    tasks: dict[str, float] = {}
    for item in (item for part in output["plays"] for item in part["tasks"] if host in item["hosts"]):
        name, duration = item["task"]["name"], item["task"]["duration"]
        start, end = (datetime.fromisoformat(duration[key]) for key in ("start", "end"))
        tasks[name] = tasks.get(name, 0.0) + (end - start).total_seconds()
    stats = output["stats"][host]
    return Run(seconds, stats["ok"], stats["changed"], tasks)


def failure(output: str, host: str) -> str:
    """Return name and result of the tasks that failed; nothing if the output is not that of the callback."""
    try:
        plays = json.loads(output)["plays"]
    except (ValueError, KeyError):
        return ""
    results = ((item["task"]["name"], item["hosts"].get(host, {})) for part in plays for item in part["tasks"])
    failed = (f"{name}:\n{json.dumps(result, indent=2)}" for name, result in results if result.get("failed"))
    return "\n".join(failed)[-8000:]


def check_that_it_serves(host: str) -> None:
    """End the benchmark unless the host serves the page and its API, with database and Redis behind it, on https."""
    instances = yaml.safe_load((STATE / "instance_config.yml").read_text(encoding="utf-8"))
    port = next(item["https_port"] for item in instances if item["instance"] == host)
    for path, expected in (("/", '<div id="root">'), ("/api/health/ready", '"ready"')):
        # The certificate is nobody's concern here: the addresses are those of this machine.
        connection = http.client.HTTPSConnection(
            "127.0.0.1", int(port), timeout=10, context=ssl._create_unverified_context()
        )
        connection.request("GET", path, headers={"Host": DOMAIN})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        if answer.status != 200 or expected not in body:
            sys.exit(f"{host} does not serve {path}: {answer.status} {body[:500]}")


def measure() -> dict[str, list[Run]]:
    """Bring both hosts to where nothing is left to change, then run them in turns."""
    for host, playbook in PLAYBOOKS.items():
        say(f"first run of {playbook}")
        first = play(host)
        check_that_it_serves(host)
        say(f"{host} serves the example after {first.seconds:.0f} s, {first.changed} tasks changed something")
    runs: dict[str, list[Run]] = {host: [] for host in PLAYBOOKS}
    for number in range(RUNS):
        for host, done in runs.items():
            done.append(play(host))
            if done[-1].changed:
                sys.exit(f"Run {number + 2} of {PLAYBOOKS[host]} changed something: it is not idempotent.")
        seconds = ", ".join(f"{host} {done[-1].seconds:.1f} s" for host, done in runs.items())
        say(f"run {number + 1} of {RUNS}: {seconds}")
    for host in PLAYBOOKS:
        check_that_it_serves(host)
    return runs


def report(runs: t.Mapping[str, t.Sequence[Run]]) -> float:
    """Print the tables and return the ratio of the medians."""
    print(f"\n{'nothing to change':<20}{'seconds':>9}{'fastest':>9}{'slowest':>9}{'tasks':>7}{'s a task':>10}")
    medians = {}
    for host, done in runs.items():
        seconds = [run.seconds for run in done]
        medians[host] = statistics.median(seconds)
        print(f"{host:<20}{medians[host]:>9.2f}{min(seconds):>9.2f}{max(seconds):>9.2f}", end="")
        print(f"{done[-1].ok:>7}{medians[host] / done[-1].ok:>10.2f}")
    ratio = medians["ours"] / medians["baseline"]
    print(f"{'ratio':<20}{ratio:>9.2f}   (median of {RUNS} runs each, in turns; promised: {MAX_RATIO})")
    for host, done in runs.items():
        tasks = {name: statistics.median(run.tasks.get(name, 0.0) for run in done) for name in done[-1].tasks}
        slowest = sorted(tasks.items(), key=lambda item: item[1], reverse=True)[:SLOWEST]
        print(f"\nthe slowest tasks of {host}, seconds")
        for name, seconds_of_task in slowest:
            print(f"{seconds_of_task:>6.2f}  {name}")
    return ratio


def main() -> int:
    """Run the benchmark."""
    say("removing the hosts of an earlier run, booting two bare servers")
    molecule("destroy")
    try:
        molecule("create")
        ratio = report(measure())
    finally:
        molecule("destroy")
    if ratio > MAX_RATIO:
        print(f"BROKEN ours takes {ratio:.2f} of the baseline's time, promised {MAX_RATIO}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
