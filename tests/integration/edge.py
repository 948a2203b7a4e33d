# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An edge that runs as in a stack, with real services behind it, and a client for it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import time
import typing as t
import uuid
from dataclasses import dataclass
from pathlib import Path

import docker

UPSTREAM = Path(__file__).with_name("upstream.py").read_text()
PORTS = {"backend": 8000, "frontend": 8080, "neighbour": 9000}
READY_SECONDS = 10


@dataclass(frozen=True)
class Answer:
    """A response: ``version`` is ``1.1`` or ``2``, header names are in lower case."""

    version: str
    status: int
    headers: dict[str, list[str]]
    body: bytes

    def json(self) -> t.Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """Return a header that is there once, or nothing."""
        values = self.headers.get(name, [])
        assert len(values) <= 1, f"{name} is there more than once: {values}"
        return values[0] if values else ""


class Edge:
    """nginx with the configuration and certificate of ``root``, on a network of its own."""

    def __init__(self, client: docker.DockerClient, images: t.Mapping[str, str], root: Path) -> None:
        self.root = root
        self._client, self._images = client, images
        self._project = f"edge-{uuid.uuid4().hex[:8]}"
        self._network = client.networks.create(self._project, labels={"shipshape-test": self._project})
        self.services: dict[str, t.Any] = {}

    def start_service(self, name: str) -> float:
        """Start a service under its name on the network; return when it began to listen."""
        network = {self._project: self._client.api.create_endpoint_config(aliases=[name])}
        container = self._client.containers.create(
            self._images["python"],
            ["python3", "-c", UPSTREAM, name, str(PORTS[name])],
            network=self._project,
            networking_config=network,
            labels={"shipshape-test": self._project},
        )
        self.services[name] = container
        container.start()
        for line in container.logs(stream=True, follow=True):
            word, _space, moment = line.decode().partition(" ")
            if word == "listening":
                return float(moment)
        raise RuntimeError(f"{name} does not listen: {container.logs().decode()}")

    def stop_service(self, name: str) -> None:
        """Take a service away; its name leads nowhere."""
        self.services.pop(name).remove(force=True)

    def address(self, name: str) -> str:
        container = self.services[name]
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][self._project]["IPAddress"])

    def start(self) -> None:
        """Start nginx as the stack does and wait until it answers."""
        self._nginx = self._client.containers.run(
            self._images["nginx"],
            ["nginx", "-e", "stderr", "-c", "/etc/nginx/stack/nginx.conf", "-g", "daemon off;"],
            detach=True,
            user="101:101",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            tmpfs={"/tmp": "", "/var/cache/nginx": ""},
            network=self._project,
            ports={"8080/tcp": ("127.0.0.1", None), "8443/tcp": ("127.0.0.1", None)},
            volumes={
                str(self.root / "edge"): {"bind": "/etc/nginx/stack", "mode": "ro"},
                str(self.root / "tls"): {"bind": "/etc/nginx/tls", "mode": "ro"},
            },
            labels={"shipshape-test": self._project},
        )
        self._nginx.reload()
        published = self._nginx.attrs["NetworkSettings"]["Ports"]
        self.http_port = int(published["8080/tcp"][0]["HostPort"])
        self.https_port = int(published["8443/tcp"][0]["HostPort"])
        self.wait_for(lambda: self.get("/").status == 200)

    def reload(self) -> None:
        self._nginx.kill("SIGHUP")

    def execute(self, *command: str) -> tuple[int, str]:
        code, output = self._nginx.exec_run(list(command))
        return code, output.decode()

    def ask_from_inside(self, service: str, script: str) -> str:
        """Run Python in the container of a service, with the name of nginx as its argument; return what it prints."""
        code, output = self.services[service].exec_run(["python3", "-c", script, self._nginx.name])
        assert code == 0, output.decode()
        return str(output.decode()).strip()

    def log(self) -> list[str]:
        """Return what nginx wrote to its standard output."""
        return str(self._nginx.logs(stdout=True, stderr=False).decode()).splitlines()

    def wait_for(self, condition: t.Callable[[], bool]) -> float:
        """Ask until ``condition`` holds and return when; a refused connection is a no."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if condition():
                    return time.time()
            time.sleep(0.02)
        raise TimeoutError(f"not within {READY_SECONDS} s; nginx says:\n{self._nginx.logs(tail=20).decode()}")

    def get(self, path: str, *options: str, host: str = "shop.test", scheme: str = "https") -> Answer:
        """Ask the edge with curl, which trusts nothing but the CA of the stack."""
        port = {"https": self.https_port, "http": self.http_port}[scheme]
        command = ["curl", "--silent", "--show-error", "--include", "--path-as-is", "--max-time", "15"]
        command += ["--cacert", str(self.root / "tls/ca/ca.pem"), "--connect-to", f"::127.0.0.1:{port}", *options]
        done = subprocess.run([*command, f"{scheme}://{host}{path}"], capture_output=True, check=False)
        if done.returncode:
            raise ConnectionError(done.stderr.decode())
        return _parse(done.stdout)

    def connect(self, context: ssl.SSLContext, name: str = "shop.test") -> ssl.SSLSocket:
        """Return a TLS connection to the edge."""
        return context.wrap_socket(
            socket.create_connection(("127.0.0.1", self.https_port), timeout=5), server_hostname=name
        )

    def trusting(self) -> ssl.SSLContext:
        """Return a client's TLS settings that trust the CA of the stack."""
        return ssl.create_default_context(cafile=str(self.root / "tls/ca/ca.pem"))

    def close(self) -> None:
        """Remove everything that was started."""
        found = self._client.containers.list(all=True, filters={"label": f"shipshape-test={self._project}"})
        for container in found:
            container.remove(force=True)
        self._network.remove()


def _parse(raw: bytes) -> Answer:
    head, _blank, body = raw.partition(b"\r\n\r\n")
    while b" 100 " in head.split(b"\r\n")[0]:
        head, _blank, body = body.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _colon, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    version, status = first.split()[:2]
    return Answer(version.removeprefix("HTTP/"), int(status), headers, body)
