# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print, as JSON, what a host has of Docker. Reads only; runs on the host's own Python."""

from __future__ import annotations

import grp
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import pwd
import re
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# What a change of the Engine's source replaces, the distribution's and Docker's own.
PACKAGES = (
    *("docker-ce", "docker-ce-cli", "docker-ce-rootless-extras", "docker-buildx-plugin", "docker-compose-plugin"),
    *("docker.io", "docker-cli", "docker-buildx", "docker-compose", "docker-doc", "docker-engine", "podman-docker"),
    *("containerd.io", "containerd", "runc"),
)
DAEMON_JSON = Path("/etc/docker/daemon.json")
ENGINE_SOCKET = Path("/run/docker.sock")
ENGINE_PID = Path("/run/docker.pid")


def output(*command: str) -> str:
    """Return what ``command`` prints, or nothing if it is not there, fails or takes longer than ten seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def running_engine() -> str:
    """Return the version of the Engine behind the default socket; nothing if none answers within ten seconds."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        try:
            connection.connect(str(ENGINE_SOCKET))
            connection.sendall(b"GET /version HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return ""
    status, _blank, body = answer.partition(b"\r\n\r\n")
    return version_in(json.loads(body)["Version"]) if b" 200 " in status.splitlines()[0] else ""


def version_in(text: str) -> str:
    """Return the first dotted number of ``text``: ``26.1.5`` of ``Docker version 26.1.5+dfsg1, build 411e817``."""
    found = re.search(r"\d+(\.\d+)+", text)
    return found.group() if found else ""


def installed_packages() -> dict[str, dict[str, str]]:
    """Return version and selection (``install`` or ``hold``) of those of PACKAGES that are installed."""
    lines = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Want} ${db:Status-Status} ${Version}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    fields = [line.split() for line in lines]
    return {
        line[0]: {"selection": line[1], "version": line[3]}
        for line in fields
        if len(line) == 4 and line[2] == "installed"
    }


def is_in_docker_group(user: str) -> bool:
    """Tell whether ``user``, who exists, is a member of the docker group."""
    try:
        group = grp.getgrnam("docker")
    except KeyError:
        return False
    return user in group.gr_mem or pwd.getpwnam(user).pw_gid == group.gr_gid


def owner_mode_and_checksum(path: Path) -> str:
    """Return ``0:0 0600 <SHA-256 of the content>``; nothing if there is no such file."""
    try:
        found = path.stat()
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        return f"{found.st_uid}:{found.st_gid} {mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    except FileNotFoundError:
        return ""


def daemon_json_is_newer_than_the_engine() -> bool:
    """Tell whether daemon.json was written after the Engine started: a run that was cut off in between."""
    try:
        return DAEMON_JSON.stat().st_mtime > ENGINE_PID.stat().st_mtime
    except FileNotFoundError:
        return False


def exists(user: str) -> bool:
    """Tell whether the host has an account of this name."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def main() -> None:
    """Look, and print."""
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    users = sys.argv[1:]
    release = platform.freedesktop_os_release()
    sdk = importlib.util.find_spec("docker") and importlib.util.find_spec("requests")
    running = running_engine()
    with ThreadPoolExecutor() as pool:
        compose = pool.submit(output, "docker", "compose", "version", "--short")
        buildx = pool.submit(output, "docker", "buildx", "version")
    print(
        json.dumps(
            {
                "root": os.geteuid() == 0,
                "distribution": release.get("ID", ""),
                "codename": release.get("VERSION_CODENAME", ""),
                "systemd": Path("/run/systemd/system").is_dir(),
                "configuration_directory": DAEMON_JSON.parent.is_dir(),
                "daemon_json": owner_mode_and_checksum(DAEMON_JSON),
                "daemon_json_not_in_force": daemon_json_is_newer_than_the_engine(),
                "engine": running or version_in(output("dockerd", "--version")),
                "running": bool(running),
                "compose": version_in(compose.result()),
                "buildx": version_in(buildx.result()),
                "sdk": importlib.metadata.version("docker") if sdk else "",
                "packages": installed_packages(),
                "unknown_users": [user for user in users if not exists(user)],
                "users_to_add": [user for user in users if exists(user) and not is_in_docker_group(user)],
            }
        )
    )


main()
