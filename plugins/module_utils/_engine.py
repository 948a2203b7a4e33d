# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that talks to the Engine API, through the ``docker`` SDK."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import sys
import threading
import typing as t
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.shipshape.stack.plugins.module_utils._errors import EngineGoneError, StackError

if sys.version_info < (3, 12):
    # Debian 12's SDK imports distutils. What setuptools puts in its place takes 0.1 s to load, in each of our modules.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "DistutilsMetaFinder"]

try:
    import docker
    import docker.errors
    import requests.exceptions
except ImportError as import_error:
    SDK_ERROR: ImportError | None = import_error
else:
    SDK_ERROR = None

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
HASH_LABEL = "com.docker.compose.config-hash"
IMAGE_LABEL = "com.docker.compose.image"
ONEOFF_LABEL = "com.docker.compose.oneoff"
DISK_RESERVE = 1024**2
"""Bytes; with less, nothing can be done on a disk."""


@dataclass(frozen=True)
class Container:
    """A container as ``inspect`` shows it.

    ``health`` is ``none`` where there is no healthcheck; ``cpus`` (cores) and ``memory`` (bytes) are the limits in
    force, 0 for unlimited; ``image`` is an id and ``image_name`` what the Compose file calls it; ``pid``
    is its first process as the host numbers it, 0 where it does not run. ``ports`` are those it publishes on the host,
    as ``80/tcp``; ``stop_timeout`` is its grace period in seconds; ``failing_probes`` counts failures in a row;
    ``argv`` is what runs in it.
    """

    id: str
    name: str
    service: str
    status: str
    health: str
    exit_code: int
    oom_killed: bool
    restart_count: int
    started_at: str
    error: str
    config_hash: str
    image: str
    image_name: str
    cpus: float
    memory: int
    probes: tuple[str, ...] = ()
    pid: int = 0
    ports: frozenset[str] = frozenset()
    anonymous_volumes: bool = False
    stop_timeout: int = 10
    failing_probes: int = 0
    argv: tuple[str, ...] = ()
    created_at: str = "0001-01-01T00:00:00Z"

    @property
    def created(self) -> float:
        """When it was made, in seconds since the epoch."""
        return epoch(self.created_at)

    @property
    def started(self) -> float:
        """When it was started last, in seconds since the epoch; 0 if never."""
        return epoch(self.started_at)


def epoch(stamp: str) -> float:
    """Return an Engine timestamp as seconds since the epoch; 0 for its zero value."""
    if stamp.startswith("0001-"):
        return 0.0
    return datetime.fromisoformat(stamp).timestamp()


def connect() -> t.Any:
    """Return a client of the Engine that DOCKER_HOST or the default socket leads to."""
    if SDK_ERROR is not None:
        raise StackError(
            "The Docker SDK for Python is missing on this host.",
            evidence=str(SDK_ERROR),
            fix="Apply the role shipshape.stack.docker_engine, or install the package python3-docker.",
        )
    try:
        client = docker.from_env(version="auto", timeout=120)
        client.ping()
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise StackError(
            "The Docker Engine does not answer.",
            evidence=str(error),
            fix="Start it (`systemctl start docker` or `service docker start`) and read its log "
            "(`journalctl -u docker` or /var/log/docker.log).",
        ) from error
    return client


def containers(client: t.Any, project: str, service: str = "") -> list[Container]:
    """Return the containers of a Compose project, or of one service, in any state; without those of ``compose run``."""
    labels = [f"{PROJECT_LABEL}={project}", *([f"{SERVICE_LABEL}={service}"] if service else [])]
    found = client.api.containers(all=True, filters={"label": labels})
    result = []
    for item in found:
        if item["Labels"].get(ONEOFF_LABEL) == "True":
            continue
        container = inspect(client, item["Id"])
        if container is not None:
            result.append(container)
    # By length first: shop-web-2 comes before shop-web-10, as Compose counts when it scales down.
    return sorted(result, key=lambda container: (container.service, len(container.name), container.name))


def inspect(client: t.Any, container_id: str) -> Container | None:
    """Return one container, or None if it is gone."""
    try:
        data = client.api.inspect_container(container_id)
    except docker.errors.NotFound:
        return None
    state, labels = data["State"], data["Config"].get("Labels") or {}
    health = state.get("Health") or {}
    probes = tuple(
        f"exit {probe['ExitCode']}: {probe['Output'].strip()}"[:500] for probe in (health.get("Log") or [])[-3:]
    )
    return Container(
        id=data["Id"],
        name=data["Name"].lstrip("/"),
        service=labels.get(SERVICE_LABEL, ""),
        status=state["Status"],
        health=health.get("Status", "none"),
        exit_code=state["ExitCode"],
        oom_killed=state["OOMKilled"],
        restart_count=data["RestartCount"],
        started_at=state["StartedAt"],
        error=state.get("Error", ""),
        config_hash=labels.get(HASH_LABEL, ""),
        image=labels.get(IMAGE_LABEL) or data["Image"],
        image_name=data["Config"]["Image"],
        cpus=data["HostConfig"]["NanoCpus"] / 1e9,
        memory=data["HostConfig"]["Memory"],
        probes=probes,
        pid=state["Pid"],
        ports=frozenset(_published(data["HostConfig"].get("PortBindings") or {})),
        anonymous_volumes=any(
            mount["Type"] == "volume" and re.fullmatch("[0-9a-f]{64}", mount["Name"]) for mount in data["Mounts"]
        ),
        stop_timeout=10 if (given := data["Config"].get("StopTimeout")) is None else given,
        failing_probes=health.get("FailingStreak", 0),
        argv=(data["Path"], *(data["Args"] or ())),
        created_at=data["Created"],
    )


def _published(bindings: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for inside, places in bindings.items():
        for place in places or ():
            if place.get("HostPort"):
                yield f"{place['HostPort']}/{inside.partition('/')[2]}"


def host_port(client: t.Any, container_id: str, port: int) -> int:
    """Return the port of the host that leads to a TCP port of a running container."""
    places = client.api.inspect_container(container_id)["NetworkSettings"]["Ports"][f"{port}/tcp"]
    return int(places[0]["HostPort"])


def start(client: t.Any, container: Container) -> str:
    """Start a container, or let a paused one go on; return the Engine's word if it could not be started."""
    try:
        if container.status == "paused":
            client.api.unpause(container.id)
        else:
            client.api.start(container.id)
    except docker.errors.APIError as error:
        return str(error.explanation or error)
    return ""


def stop(client: t.Any, container: Container) -> None:
    """Stop a container with its own signal and grace period; one that is gone or does not run is fine."""
    with contextlib.suppress(docker.errors.NotFound):
        # Looked at anew: a paused container would never stop, and it may have gone on, or not, since it was seen.
        if client.api.inspect_container(container.id)["State"]["Paused"]:
            client.api.unpause(container.id)
        client.api.stop(container.id, timeout=container.stop_timeout)


def summary(container: Container) -> dict[str, t.Any]:
    """Return what a person wants to know of a container; memory in MiB, 0 for unlimited."""
    return {
        "name": container.name,
        "service": container.service,
        "image": container.image_name,
        "state": container.status,
        "health": container.health,
        "cpus": container.cpus,
        "memory": container.memory // 1024**2,
    }


def image_id(client: t.Any, reference: str) -> str | None:
    """Return the id of a local image, or None where there is no such image."""
    data = _image(client, reference)
    return str(data["Id"]) if data else None


def image_healthcheck(client: t.Any, reference: str) -> dict[str, t.Any]:
    """Return the healthcheck a local image brings, in the words of a Compose file; empty where there is none."""
    check = ((_image(client, reference) or {}).get("Config") or {}).get("Healthcheck") or {}
    names = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period"}
    durations = {ours: f"{check[theirs]}ns" for theirs, ours in names.items() if check.get(theirs)}
    others = {ours: check[theirs] for theirs, ours in (("Test", "test"), ("Retries", "retries")) if check.get(theirs)}
    return {**durations, **others}


def _image(client: t.Any, reference: str) -> dict[str, t.Any] | None:
    try:
        return t.cast("dict[str, t.Any]", client.api.inspect_image(reference))
    except docker.errors.APIError as error:
        # 404: not here; 400: not the name of an image, so it cannot be here either.
        if error.is_client_error():
            return None
        raise


def full_disk(client: t.Any) -> str:
    """Return in words that the Engine's disk is full, or nothing. What a container writes to its log is then lost."""
    root = client.info()["DockerRootDir"]
    try:
        state = os.statvfs(root)
    except OSError:
        # The Engine is on another machine.
        return ""
    left = state.f_bavail * state.f_frsize
    return f"No space left on device: {left // 1024} KiB are free in {root}." if left < DISK_RESERVE else ""


def log_tail(client: t.Any, container_id: str, lines: int = 20) -> str:
    """Return the last lines of a container's output; a container that is gone, or about to be, has none."""
    try:
        raw = client.api.logs(container_id, tail=lines, stdout=True, stderr=True)
    except docker.errors.APIError as error:
        if error.status_code in (404, 409):
            return ""
        raise
    return str(raw.decode(errors="replace")).strip()


def run_once(
    client: t.Any,
    image: str,
    command: t.Sequence[str],
    *,
    user: str = "",
    mounts: t.Mapping[str, str] | None = None,
    tmpfs: t.Sequence[str] = ("/tmp",),
    entrypoint: t.Sequence[str] | None = None,
) -> tuple[int, str]:
    """Run a throwaway container and return its exit code and output.

    It has no network, no capability and a read-only root; ``mounts`` maps a host path to a read-only path inside.
    """
    binds = {host: {"bind": inside, "mode": "ro"} for host, inside in (mounts or {}).items()}
    try:
        container = client.containers.create(
            image,
            list(command),
            user=user,
            volumes=binds,
            tmpfs=dict.fromkeys(tmpfs, ""),
            entrypoint=list(entrypoint) if entrypoint is not None else None,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
        )
        try:
            container.start()
            code = int(container.wait()["StatusCode"])
            return code, container.logs().decode(errors="replace")
        finally:
            container.remove(force=True, v=True)
    except docker.errors.APIError as error:
        raise StackError(
            f"A container of the image {image} could not be run.",
            evidence=str(error.explanation or error),
            fix="Check that the image exists and that the Engine's log shows no error.",
        ) from error


def run_isolated(
    client: t.Any, image: str, name: str, environment: t.Mapping[str, str], healthcheck: t.Sequence[str]
) -> str:
    """Start a container of ``image`` with a healthcheck and without a network; return its id.

    Its events are those of a Compose project of its own name. It is the caller's to remove, with its volumes.
    """
    pace = 1_000_000_000
    try:
        made = client.api.create_container(
            image,
            name=name,
            # Images of PostgreSQL start as root, to change owners; without capabilities they cannot.
            user="postgres",
            environment=dict(environment),
            labels={PROJECT_LABEL: name},
            healthcheck={"test": list(healthcheck), "interval": pace, "timeout": 5 * pace, "retries": 120},
            host_config=client.api.create_host_config(
                network_mode="none", cap_drop=["ALL"], security_opt=["no-new-privileges:true"], init=True
            ),
        )
        client.api.start(made["Id"])
    except docker.errors.APIError as error:
        raise StackError(
            f"A container of the image {image} could not be started.",
            evidence=str(error.explanation or error),
            fix="Check that the image is on this host: it is the one the dump was taken with.",
        ) from error
    return str(made["Id"])


class EventStream:
    """Container events of one Compose project, readable with a deadline.

    The subscription exists when the constructor returns, so an inspection made after it misses nothing.
    """

    def __init__(self, client: t.Any, project: str) -> None:
        self._stream = client.events(decode=True, filters={"type": "container", "label": f"{PROJECT_LABEL}={project}"})
        self._queue: queue.Queue[dict[str, t.Any] | None] = queue.Queue()
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        try:
            for event in self._stream:
                self._queue.put(event)
        except (OSError, ValueError, docker.errors.DockerException, requests.exceptions.RequestException):
            # close() from the other thread, or the Engine went away: both end the stream.
            pass
        finally:
            self._queue.put(None)

    def next(self, timeout: float) -> dict[str, t.Any] | None:
        """Return the next event, or None when ``timeout`` seconds passed without one.

        Raises EngineGoneError when the Engine closed the stream.
        """
        try:
            event = self._queue.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return None
        if event is None:
            raise EngineGoneError("It closed its stream of events.")
        return event

    def put(self, event: dict[str, t.Any]) -> None:
        """Add an event of our own (the end of the Compose command) to the same queue."""
        self._queue.put(event)

    def close(self) -> None:
        """End the subscription."""
        self._stream.close()


def execute(client: t.Any, container_id: str, argv: t.Sequence[str]) -> tuple[int, str]:
    """Run a command in a running container; return its exit code and standard output (on failure, error)."""
    handle = client.api.exec_create(container_id, list(argv))["Id"]
    output, errors = client.api.exec_start(handle, demux=True)
    code = int(client.api.exec_inspect(handle)["ExitCode"])
    return code, ((output if code == 0 else errors or output) or b"").decode(errors="replace")


def remove(client: t.Any, name: str) -> None:
    """Remove a container by name or id, running or not; one that is gone already is fine."""
    try:
        client.api.remove_container(name, force=True, v=True)
    except docker.errors.APIError as error:
        # 409: somebody else is removing it.
        if error.status_code not in (404, 409):
            raise
