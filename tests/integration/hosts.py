# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian servers to try things on: containers with systemd as PID 1 and room for an Engine of their own."""

from __future__ import annotations

import contextlib
import subprocess
import time
import typing as t
import uuid
from dataclasses import dataclass

import testinfra
from playbook import REPOSITORY
from testinfra.host import Host

BOOT_SECONDS = 60


@dataclass(frozen=True)
class DebianHost:
    """A running test host; ``release`` is ``debian12`` or ``debian13``."""

    release: str
    name: str
    machine: Host

    @property
    def hosts(self) -> dict[str, dict[str, t.Any]]:
        """Return the inventory for ``run_play``."""
        return {
            self.name: {
                "ansible_connection": "community.docker.docker",
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_pipelining": True,
            }
        }

    def engine_log(self) -> str:
        """Return the end of what the host's own Engine and systemd said."""
        failed = self.machine.run("systemctl --failed --no-legend").stdout
        journal = self.machine.run("journalctl -u docker -n 40 --no-pager -o cat").stdout
        return f"failed units:\n{failed}\njournal of docker.service:\n{journal}"


def docker(*arguments: str) -> str:
    """Run the docker CLI of this machine and return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def debian_machine(release: str) -> t.Iterator[DebianHost]:
    """Boot a host of ``release`` with nothing of Docker on it; remove it afterwards with all it stored."""
    with container_of(release) as name:
        wait_for_boot(name)
        yield DebianHost(release, name, testinfra.get_host(f"docker://{name}"))


@contextlib.contextmanager
def debian_machine_without_systemd(release: str) -> t.Iterator[DebianHost]:
    """Start the same host with nothing but an init that reaps: services are started by their SysV scripts."""
    with container_of(release, "--init", command=["sleep", "infinity"]) as name:
        yield DebianHost(release, name, testinfra.get_host(f"docker://{name}"))


@contextlib.contextmanager
def container_of(release: str, *options: str, command: t.Sequence[str] = ()) -> t.Iterator[str]:
    """Run the image of ``release``, with what an inner Engine needs, and yield the container's name."""
    build = [str(REPOSITORY / "tests/images/build"), release]
    image = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    name = f"shipshape-{release}-{uuid.uuid4().hex[:8]}"
    docker(
        *("run", "--detach", "--name", name, "--hostname", release, "--privileged", "--cgroupns=private"),
        *("--tmpfs", "/run", "--tmpfs", "/tmp", "--volume", "/var/lib/docker", *options, image, *command),
    )
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def wait_for_boot(name: str) -> None:
    """Return when systemd has started everything; raise if a unit failed or BOOT_SECONDS are over."""
    state = ""
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline:  # systemctl itself waits, from the moment it can reach systemd
        done = subprocess.run(
            ["docker", "exec", name, "systemctl", "is-system-running", "--wait"],
            capture_output=True,
            text=True,
            check=False,
        )
        state = done.stdout.strip()
        if state == "running":
            return
        if state in ("degraded", "maintenance", "stopping"):
            raise RuntimeError(f"{name} is {state}: {docker('exec', name, 'systemctl', '--failed', '--no-legend')}")
    raise TimeoutError(f"{name} did not boot within {BOOT_SECONDS} s, last state: {state}")
