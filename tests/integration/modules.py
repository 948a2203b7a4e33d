# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single modules run through Ansible, and throwaway Compose projects for them to work on."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import time
import typing as t
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from hosts import docker
from playbook import REPOSITORY, run_play

Result = dict[str, t.Any]


def run_module(name: str, *options: str, **arguments: t.Any) -> Result:
    """Run one module of the collection on this machine and return its result; ``options`` are ansible-playbook's."""
    outcome = run_play([module_play(name, arguments)], options=options)
    found = re.search(r"result-of-the-module:([A-Za-z0-9+/=]+)", outcome.output)
    assert found, "the module returned nothing: see the output of the play"
    return t.cast("Result", json.loads(base64.b64decode(found[1])))


def begin_module(
    name: str, arguments: Result, environment: t.Mapping[str, str] | None = None, within: t.Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start a module as Ansible does it on a host: a program that reads its arguments and prints its result.

    ``within`` is the command that runs it, if there is one.
    """
    process = subprocess.Popen(
        [*within, sys.executable, "-m", f"ansible_collections.shipshape.stack.plugins.modules.{name}"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / ".cache/collections"), **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    process.stdin = None
    return process


def module_play(name: str, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a play that runs a module and prints its result, whole and on one line."""
    run = {"name": f"Run {name}", f"shipshape.stack.{name}": arguments, "register": "outcome", "ignore_errors": True}
    # No file is written: a second task on the host would cost more than most of the modules do.
    show = {"ansible.builtin.debug": {"msg": "result-of-the-module:{{ outcome | to_json | b64encode }}"}}
    return {"hosts": "all", "gather_facts": False, "tasks": [run, {"name": "Show the result", **show}]}


def newest_image(repository: str) -> str:
    """Return the newest image of a repository that is on this machine."""
    found = docker("images", repository, "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    assert found, f"no image of {repository} is here: `./run demo` builds it"
    return found[0]


def shell(image: str, command: str, **more: t.Any) -> dict[str, t.Any]:
    """Return a service that runs a shell command and stops at once."""
    return {"image": image, "command": ["sh", "-c", command.replace("$", "$$")], "stop_grace_period": "0s", **more}


def sleeper(image: str, **more: t.Any) -> dict[str, t.Any]:
    """Return a service that does nothing for as long as it is let."""
    return shell(image, "exec sleep 600", **more)


def probed(test: str, **more: t.Any) -> dict[str, t.Any]:
    """Return a healthcheck that looks five times a second while the container starts."""
    pace = {"interval": "200ms", "timeout": "5s", "retries": 2, "start_period": "0s", "start_interval": "200ms"}
    return {"healthcheck": {"test": ["CMD-SHELL", test.replace("$", "$$")], **pace, **more}}


@dataclass
class Project:
    """A Compose project of a test's own."""

    directory: Path
    name: str = field(default_factory=lambda: f"it-{uuid.uuid4().hex[:8]}")

    def declare(self, services: dict[str, t.Any], **more: t.Any) -> None:
        """Write the Compose file; JSON is YAML."""
        model = {"name": self.name, "services": services, **more}
        (self.directory / "compose.yaml").write_text(json.dumps(model, indent=2))

    def run(self, module: str, *options: str, **arguments: t.Any) -> Result:
        """Run a module on the project."""
        return run_module(module, *options, project_src=str(self.directory), **arguments)

    def up(self, *options: str, **arguments: t.Any) -> Result:
        """Run compose_up, with less patience than a user has."""
        return self.run("compose_up", *options, **{"stable_for": 1, "wait_timeout": 30, **arguments})

    def containers(self) -> dict[str, str]:
        """Return the container ids of the project by name."""
        label = f"label=com.docker.compose.project={self.name}"
        lines = docker("ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.Names}} {{.ID}}").splitlines()
        return dict(line.split() for line in sorted(lines))

    def events(self, since: float) -> list[str]:
        """Return what happened to containers of the project since a moment, without the probes."""
        window = ("--since", f"{since:.6f}", "--until", f"{time.time():.6f}")
        label = ("--filter", f"label=com.docker.compose.project={self.name}", "--filter", "type=container")
        found = docker("events", *window, *label, "--format", "{{.Action}} {{.Actor.Attributes.name}}").splitlines()
        return [event for event in found if not event.startswith(("exec_", "health_status"))]


@contextlib.contextmanager
def project(directory: Path) -> t.Iterator[Project]:
    """Yield a project and remove everything that became of it."""
    it = Project(directory)
    try:
        yield it
    finally:
        label = f"label=com.docker.compose.project={it.name}"
        paused = docker("ps", "--quiet", "--filter", "status=paused", "--filter", label).split()
        if paused:
            # The Engine waits for ever for one of them to stop.
            docker("unpause", *paused)
        docker("compose", "--project-name", it.name, "down", "--volumes", "--remove-orphans", "--timeout", "0")
        images = docker("images", "--quiet", f"{it.name}/*").split()
        if images:
            docker("rmi", "--force", *set(images))
