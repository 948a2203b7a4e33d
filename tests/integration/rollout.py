# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site of an nginx and an application behind it, deployments of it, and somebody who asks it all the time."""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from edge import UPSTREAM
from modules import Project, Result, begin_module, newest_image, project

PORT = 8000
PATIENCE = 30
"""Seconds within which anything these tests wait for has happened."""
NGINX = """
worker_processes 1;
worker_shutdown_timeout 20s;
pid /tmp/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    keepalive_min_timeout 2s;
    resolver 127.0.0.11 valid=1s ipv6=off;
    resolver_timeout 1s;
    map $http_upgrade $connection_header { default upgrade; "" ""; }
    upstream backend {
        zone backend 128k;
        include /etc/nginx/stack/servers/backend.conf;
        keepalive 16;
        keepalive_timeout 4s;
    }
    server {
        listen 8080;
        location = /release { return 200 "first"; }
        location / {
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_header;
            proxy_connect_timeout 1s;
            proxy_next_upstream error timeout;
            proxy_next_upstream_tries 3;
            proxy_pass http://backend;
        }
    }
}
"""


@dataclass(frozen=True)
class Place:
    """Where a site is: the address of its ports, and what a command has to be given to that it runs there."""

    address: str = "127.0.0.1"
    within: tuple[str, ...] = ()


HERE = Place()


class Site:
    """A Compose project with the services ``nginx`` and ``backend``, and whatever else a test declares."""

    def __init__(self, it: Project, place: Place = HERE) -> None:
        self.project, self.place = it, place
        self.python, self.nginx = newest_image("shipshape/python"), newest_image("shipshape/nginx")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.edge_files = it.directory / "nginx"
        (self.edge_files / "servers").mkdir(parents=True)
        (self.edge_files / "nginx.conf").write_text(NGINX)
        (self.edge_files / "servers/backend.conf").write_text(f"server backend:{PORT} resolve;\n")
        self.version = 0
        self.first = Result()

    # What is declared

    def backend(self, version: str, **more: t.Any) -> dict[str, t.Any]:
        """Return a backend that answers with its version, and is healthy as soon as it listens."""
        listens = ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"]
        pace = {"interval": "1s", "timeout": "5s", "start_period": "20s", "start_interval": "200ms"}
        return {
            "image": self.python,
            "command": serving(version),
            "restart": "unless-stopped",
            "stop_grace_period": "2s",
            "healthcheck": {"test": listens, **pace},
            **more,
        }

    def edge(self, **more: t.Any) -> dict[str, t.Any]:
        """Return an nginx as a stack has it."""
        return {
            "image": self.nginx,
            "command": ["nginx", "-e", "stderr", "-c", "/etc/nginx/stack/nginx.conf", "-g", "daemon off;"],
            "user": "101:101",
            "read_only": True,
            "tmpfs": ["/tmp", "/var/cache/nginx:uid=101,gid=101"],
            "ports": [f"{self.place.address}:{self.port}:8080"],
            "volumes": [f"{self.edge_files}:/etc/nginx/stack:ro"],
            "stop_grace_period": "1s",
            **more,
        }

    def declare(
        self,
        backend: dict[str, t.Any],
        nginx: dict[str, t.Any] | None = None,
        *,
        others: dict[str, t.Any] | None = None,
        **top: t.Any,
    ) -> None:
        """Write the Compose file."""
        self.project.declare({"backend": backend, "nginx": nginx or self.edge(), **(others or {})}, **top)

    def declare_next(self, **more: t.Any) -> str:
        """Declare a good release nobody has seen yet; return its version."""
        self.version += 1
        version = f"v{self.version}"
        self.declare(self.backend(version), **more)
        return version

    # Deployments

    def arguments(self, **more: t.Any) -> dict[str, t.Any]:
        """Return what the module is called with."""
        edge = {
            "directory": str(self.edge_files),
            "upstreams": {"backend": PORT},
            "drain_timeout": "20s",
            "url": f"http://{self.place.address}:{self.port}",
            **more.pop("edge", {}),
        }
        return {
            "project_src": str(self.project.directory),
            "stable_for": 0.5,
            "wait_timeout": PATIENCE,
            "edge": edge,
            **more,
        }

    def deploy(self, environment: t.Mapping[str, str] | None = None, **more: t.Any) -> Result:
        """Run compose_up to its end."""
        return result_of(self.begin_deploy(environment, **more))

    def begin_deploy(self, environment: t.Mapping[str, str] | None = None, **more: t.Any) -> subprocess.Popen[str]:
        """Start compose_up."""
        return begin_up(self.arguments(**more), environment, self.place.within)

    def start(self) -> None:
        """Deploy the first version."""
        self.declare_next()
        self.first = good(self.deploy())
        self.answers(f"v{self.version}")

    def converges(self) -> None:
        """Deploy the next good release: it serves, alone, and is no change once more."""
        version = self.declare_next()
        good(self.deploy())
        assert self.ask() == version
        self.is_settled()

    def is_settled(self, *, backends: int = 1, **more: t.Any) -> None:
        """Look whether the declared project runs, whole and with nothing else, and the next run finds nothing to do."""
        before, since = self.project.containers(), time.time()
        again = good(self.deploy(**more))
        assert again["changed"] is False, again["actions"]
        assert self.project.containers() == before
        assert self.project.events(since) == []
        assert len(self.backends()) == backends, before

    # What serves

    def ask(self, path: str = "/") -> str:
        """Ask the site once; return the version that answered."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path)
            return self.version_of(connection.getresponse())

    def version_of(self, answer: http.client.HTTPResponse) -> str:
        """Return who gave an answer, which has to be a good one."""
        body = answer.read()
        assert answer.status == 200, (answer.status, body)
        return str(json.loads(body)["service"])

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.place.address, self.port, timeout=15)

    def answers(self, version: str) -> None:
        """Ask until a version answers: nothing tells when nginx has looked the names up."""
        deadline = time.monotonic() + PATIENCE
        said: object = None
        while time.monotonic() < deadline:
            try:
                said = self.ask()
            except (OSError, AssertionError, http.client.HTTPException) as error:
                said = error
            if said == version:
                return
            time.sleep(0.05)
        raise TimeoutError(f"{version} did not answer within {PATIENCE} s, but {said!r}")

    def backends(self) -> dict[str, str]:
        """Return the ids of the backend's containers by name."""
        return {name: key for name, key in self.project.containers().items() if "-backend-" in name}

    def files(self) -> dict[str, str]:
        """Return the edge's files."""
        return {
            str(path.relative_to(self.edge_files)): path.read_text()
            for path in self.edge_files.rglob("*")
            if path.is_file()
        }


def serving(version: str, *more: str) -> list[str]:
    """Return the command of a backend that answers with its version."""
    return ["python3", "-S", "-c", UPSTREAM.replace("$", "$$"), version, str(PORT), *more]


def begin_up(
    arguments: dict[str, t.Any], environment: t.Mapping[str, str] | None = None, within: t.Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start compose_up; see ``begin_module``."""
    return begin_module("compose_up", arguments, environment, within)


def up(it: Project, **more: t.Any) -> Result:
    """Run compose_up on a project of any kind."""
    arguments = {"project_src": str(it.directory), "stable_for": 0.5, "wait_timeout": PATIENCE, **more}
    return result_of(begin_up(arguments))


def result_of(process: subprocess.Popen[str]) -> Result:
    """Return the result a module printed."""
    output, errors = process.communicate(timeout=120)
    assert output, f"exit code {process.returncode}: {errors}"
    return t.cast("Result", json.loads(output))


def good(result: Result) -> Result:
    """Return a result that is none of a failure."""
    assert not result.get("failed"), result.get("msg")
    return result


def action(result: Result, service: str) -> str:
    """Return what a plan does to a service."""
    return next((str(item["action"]) for item in result["actions"] if item["service"] == service), "")


class Watch:
    """Somebody who asks the site all the time, each time anew: ``versions`` counts answers, ``losses`` are the rest."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.versions: collections.Counter[str] = collections.Counter()
        self.losses: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        # Between two requests, not for something: the machine has others to serve.
        while not self._over.wait(0.02):
            try:
                self.versions[self._site.ask()] += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                self.losses.append(repr(error))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()


class Events:
    """What happens to the containers of a site, from now on, in its order."""

    def __init__(self, site: Site) -> None:
        label = f"label=com.docker.compose.project={site.project.name}"
        since = f"{time.time():.6f}"
        until = f"{time.time() + PATIENCE:.0f}"
        argv = ["docker", "events", "--since", since, "--until", until, "--filter", label, "--format", "{{json .}}"]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def wait(self, wanted: t.Callable[[str, dict[str, str], str], bool]) -> dict[str, t.Any]:
        """Return the next event of which ``wanted`` (action, attributes, container id) is true."""
        assert self._process.stdout is not None
        seen = []
        for line in self._process.stdout:
            event = json.loads(line)
            seen.append(event["Action"])
            if wanted(event["Action"], event["Actor"]["Attributes"], event["Actor"]["ID"]):
                return t.cast("dict[str, t.Any]", event)
        raise TimeoutError(f"what was waited for did not happen, but: {seen}")

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def new_site(directory: Path, place: Place = HERE) -> t.Iterator[Site]:
    """Yield a site whose first version serves."""
    with project(directory) as it:
        site = Site(it, place)
        site.start()
        yield site


class SharedSite:
    """A site for the tests of a file: one after the other finds it serving, or gets a new one."""

    def __init__(self, factory: pytest.TempPathFactory, place: Place = HERE) -> None:
        self._factory, self._place = factory, place
        self._opened = contextlib.ExitStack()
        self._site: Site | None = None

    def lend(self) -> Site:
        if self._site is None or not self._is_as_it_was(self._site):
            self.close()
            self._site = self._opened.enter_context(new_site(self._factory.mktemp("site"), self._place))
        return self._site

    def _is_as_it_was(self, site: Site) -> bool:
        """Whether the last test left nothing but a version that serves."""
        try:
            return len(site.project.containers()) == 2 and site.ask() == f"v{site.version}"
        except (OSError, AssertionError, http.client.HTTPException):
            return False

    def close(self) -> None:
        self._opened.close()
        self._site = None
