# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge in a rollout: probes through it, its own files, its own container, and connections that are open."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
import typing as t
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from modules import docker, newest_image
from rollout import NGINX, Events, SharedSite, Site, Watch, action, good, result_of

PROBES = {
    "status": ({"path": "/missing"}, "GET {url}/missing: status 404, expected 200"),
    "body": ({"path": "/", "body": "v[0-9]+"}, "GET {url}/: the body does not match 'v[0-9]+'"),
    "json": ({"path": "/", "json": {"service": "v0"}}, 'GET {url}/: service is "bad", expected "v0"'),
    "latency": ({"path": "/slow/1", "max_seconds": 0.3}, "GET {url}/slow/1: no answer: timed out"),
}


@pytest.mark.parametrize("kind", PROBES)
def test_release_that_answers_a_probe_wrongly_gets_no_request(site: Site, kind: str) -> None:
    before, files, version = site.project.containers(), site.files(), site.ask()
    probe, complaint = PROBES[kind]
    site.declare(site.backend("bad"))
    with Watch(site) as watch:
        result = site.deploy(probes=[probe])
    expected = complaint.format(url=f"http://127.0.0.1:{site.port}")
    assert result["failed"]
    assert result["cause"] == f"The new release does not answer as it has to: {expected}."
    assert result["fix"]
    assert result["serving"] == {"backend": "its old container, untouched"}
    assert watch.losses == []
    assert set(watch.versions) == {version}
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


def test_site_behind_a_port_of_somebody_else_is_probed_after_the_switch(site: Site) -> None:
    before, files, version = site.project.containers(), site.files(), site.ask()
    site.declare(site.backend("bad"))
    with Watch(site) as watch, forwarding_to(site.port) as port:
        result = site.deploy(probes=[{"path": "/missing"}], edge={"address": f"127.0.0.1:{port}"})
    assert result["failed"]
    assert result["cause"].endswith("/missing: status 404, expected 200.")
    assert result["serving"] == {"backend": "its old container, switched back"}
    assert watch.losses == []
    assert watch.versions["bad"]
    assert site.ask() == version
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


def test_probes_that_cannot_ask_before_the_switch_are_a_warning(site: Site) -> None:
    version = site.declare_next()
    with forwarding_to(site.port) as port:
        address = {"address": f"127.0.0.1:{port}"}
        result = good(site.deploy(probes=[{"path": "/", "body": version}], edge=address))
    assert f"so users meet a wrong answer first: nginx publishes no port {port}." in str(result["warnings"])


def test_second_edge_that_a_killed_run_left_goes_with_the_next(site: Site) -> None:
    probes = [{"path": "/slow/5"}]
    site.declare_next()
    with Events(site) as events:
        deploy = site.begin_deploy(probes=probes)
        begun = events.wait(lambda action, actor, _key: action == "start" and actor["name"].endswith("-rehearsal"))
        deploy.kill()
    name = begun["Actor"]["Attributes"]["name"]
    assert name in docker("ps", "--all", "--format", "{{.Names}}").split()
    site.converges()
    assert name not in docker("ps", "--all", "--format", "{{.Names}}").split()
    assert not list(site.project.directory.glob(".*-rehearsal"))


def test_release_that_passes_its_probes_stays(site: Site) -> None:
    version = site.declare_next()
    probes = [
        {"path": "/", "body": version, "json": {"service": version}, "max_seconds": 5},
        {"path": "/missing", "status": 404},
    ]
    good(site.deploy(probes=probes))
    assert site.ask() == version


@contextlib.contextmanager
def forwarding_to(port: int) -> t.Iterator[int]:
    """Yield a port that leads to another, as a balancer in front of the host does."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as there:
                there.sendall(self.request.recv(65536))
                while data := there.recv(65536):
                    self.request.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as server:
        # nginx keeps a connection open for longer than anybody wants to wait here.
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever).start()
        yield int(server.server_address[1])
        server.shutdown()


def test_newer_certificate_is_loaded_once(site: Site, tmp_path: Path) -> None:
    certificates = {"certificates": [str(tmp_path)]}
    good(site.deploy(edge=certificates))
    before = site.project.containers()
    (tmp_path / "fullchain.pem").write_text("renewed")
    with Watch(site) as watch:
        result = good(site.deploy(edge=certificates))
    assert action(result, "nginx") == "reload"
    assert action(result, "backend") == "unchanged"
    assert watch.losses == []
    assert site.project.containers() == before
    site.is_settled(edge=certificates)


def source(directory: Path, config: str) -> dict[str, str]:
    """Write an edge's configuration as a release holds it; return the option that names it."""
    (directory / "nginx.conf").write_text(config)
    return {"source": str(directory)}


def test_change_of_the_edges_configuration_comes_with_the_release(site: Site, tmp_path: Path) -> None:
    assert site.get("/release") == (200, b"first")
    before, version = site.project.containers(), site.declare_next()
    release = source(tmp_path, NGINX.replace('"first"', '"second"'))
    with Watch(site) as watch:
        result = good(site.deploy(edge=release))
    assert action(result, "nginx") == "reload"
    assert watch.losses == []
    assert site.ask() == version
    assert site.get("/release") == (200, b"second")
    assert {name for name in before if "-nginx-" in name} <= set(site.project.containers())
    site.is_settled(edge=release)
    result = good(site.deploy(edge=source(tmp_path, NGINX)))
    assert action(result, "nginx") == "reload"
    assert site.get("/release") == (200, b"first")


def test_configuration_that_nginx_refuses_leaves_the_old_one_and_the_old_release(site: Site, tmp_path: Path) -> None:
    before, files, version = site.project.containers(), site.files(), site.ask()
    site.declare(site.backend("bad"))
    with Watch(site) as watch:
        result = site.deploy(edge=source(tmp_path, NGINX.replace("keepalive 16;", "keepalive sixteen;")))
    assert result["failed"]
    assert result["cause"] == "nginx refuses the new edge configuration."
    assert 'invalid value "sixteen" in "keepalive" directive' in result["evidence"]
    assert result["fix"]
    assert result["serving"]["backend"].startswith("its old container, ")
    assert watch.losses == []
    assert set(watch.versions) == {version}
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


def test_edge_with_a_change_of_its_own_is_recreated_when_everything_else_is_ready(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    old, since = site.project.containers(), time.time()
    edge = site.edge(ports=[f"127.0.0.1:{port}:8080"])
    site.declare(site.backend("with"), edge)
    result = good(site.deploy(edge={"url": f"http://127.0.0.1:{port}"}))
    assert (action(result, "backend"), action(result, "nginx")) == ("roll", "recreate")
    site.port = port
    site.answers("with")
    came_last(site, old, since)
    site.is_settled()
    site.converges()


def came_last(site: Site, old: dict[str, str], since: float) -> None:
    """Look whether the edge was recreated when the new backend was ready, and before the old one went."""
    [new] = site.backends()
    events = site.project.events(since)
    [nginx] = [name for name in old if "-nginx-" in name]
    assert events.index(f"start {new}") < events.index(f"die {nginx}")
    assert events.index(f"die {nginx}") < next(
        at for at, line in enumerate(events) if line.startswith("die") and "-backend-" in line
    )


def test_edge_that_cannot_be_started_gives_way_to_the_old_one_with_the_old_release(site: Site) -> None:
    before, files, version = site.project.containers(), site.files(), site.ask()
    with socket.create_server(("127.0.0.1", 0)) as server:
        site.declare(site.backend("bad"), site.edge(ports=[f"127.0.0.1:{server.getsockname()[1]}:8080"]))
        result = site.deploy()
    assert result["failed"]
    [failure] = result["failures"]
    assert failure["service"] == "nginx"
    assert failure["findings"][0]["cause"] == "A port the service needs is taken."
    assert result["serving"]["nginx"] == "its old container, started again"
    site.answers(version)
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


@pytest.fixture(scope="module")
def other_nginx(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[[str], str]]:
    """Builds of nginx that differ from the one in use by a line of their Dockerfile."""
    directory, repository = tmp_path_factory.mktemp("nginx"), f"it-{uuid.uuid4().hex[:8]}/nginx"
    made: list[str] = []

    def build(line: str) -> str:
        (directory / "Dockerfile").write_text(f"FROM {newest_image('shipshape/nginx')}\n{line}\n")
        made.append(f"{repository}:{len(made)}")
        docker("build", "--quiet", "--tag", made[-1], str(directory))
        return made[-1]

    yield build
    docker("rmi", "--force", *made)


def test_other_image_of_the_edge_comes_last_and_the_plan_says_why(
    site: Site, other_nginx: t.Callable[[str], str]
) -> None:
    image = other_nginx("LABEL edition=second")
    old, since = site.project.containers(), time.time()
    site.declare(site.backend("with"), site.edge(image=image))
    result = good(site.deploy())
    changes = {item["service"]: item for item in result["actions"]}
    assert (changes["backend"]["action"], changes["nginx"]["action"]) == ("roll", "recreate")
    assert changes["nginx"]["reasons"] == ["image changed"]
    assert changes["nginx"]["strategy"] == f"recreate: publishes host port {site.port}"
    site.answers("with")
    came_last(site, old, since)
    site.is_settled()
    site.converges()


def test_other_image_of_the_edge_that_fails_gives_way_to_the_old_one(
    site: Site, other_nginx: t.Callable[[str], str]
) -> None:
    before, files, version = site.project.containers(), site.files(), site.ask()
    says = "nginx: unknown directive"
    image = other_nginx(f'ENTRYPOINT ["sh", "-c", "echo {says} >&2; exit 1"]')
    site.declare(site.backend("bad"), site.edge(image=image))
    result = site.deploy()
    assert result["failed"]
    [failure] = result["failures"]
    assert (failure["service"], failure["verdict"]) == ("nginx", "exited with code 1")
    assert failure["findings"][0]["evidence"] == says
    assert failure["findings"][0]["fix"] in result["msg"]
    assert result["serving"]["nginx"] == "its old container, started again"
    site.answers(version)
    assert site.project.containers() == before
    assert site.files() == files
    site.converges()


# What is under way while a rollout switches


@dataclass
class Rolled:
    """What clients saw who had something under way when a release was switched."""

    old: str
    new: str
    slow: list[str] = field(default_factory=list)
    upload: list[str] = field(default_factory=list)
    keepalive: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    websocket: bytes = b""


@pytest.fixture(scope="module")
def rolled(shared_site: SharedSite) -> Rolled:
    """A rollout under a slow request, an upload, a connection in use, requests nobody repeats, and a WebSocket."""
    site = shared_site.lend()
    seen = Rolled(site.ask(), site.declare_next())
    over = threading.Event()

    def client(work: t.Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except Exception as error:
                seen.losses.append(f"{work.__name__}: {error!r}")

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def slow() -> None:
        seen.slow.append(site.ask("/slow/10"))

    def upload() -> None:
        connection = site.connect()
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", "100")
        connection.endheaders()
        # As slow as a telephone: a part of the body each time, over the whole of the switch.
        for _part in range(50):
            connection.send(b"xx")
            time.sleep(0.1)
        answer = connection.getresponse()
        seen.upload.append(f"{answer.status} {answer.read().decode()}")
        connection.close()

    def keepalive() -> None:
        connection = site.connect()
        while not over.wait(0.02):
            connection.request("GET", "/")
            seen.keepalive.append(site.version_of(connection.getresponse()))
        connection.close()

    def posts() -> None:
        while not over.wait(0.05):
            connection = site.connect()
            connection.request("POST", "/", body=b"order")
            seen.posts.append(site.version_of(connection.getresponse()))
            connection.close()

    with socket.create_connection(("127.0.0.1", site.port), timeout=15) as websocket:
        websocket.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        assert b" 101 " in websocket.recv(4096)
        ending = [client(slow), client(upload)]
        going = [client(keepalive), client(posts)]
        with Events(site) as events:
            deploy = site.begin_deploy()
            begun = events.wait(lambda action, _actor, _key: action.startswith("exec_start") and "-s reload" in action)
            identity = begun["Actor"]["Attributes"]["execID"]
            events.wait(lambda action, actor, _key: action == "exec_die" and actor["execID"] == identity)
            websocket.sendall(b"still here")
            seen.websocket = websocket.recv(100)
        for thread in ending:
            thread.join()
    good(result_of(deploy))
    over.set()
    for thread in going:
        thread.join()
    site.is_settled()
    return seen


def test_nothing_under_way_is_lost_in_a_rollout(rolled: Rolled) -> None:
    assert rolled.losses == []


def test_slow_request_is_finished_by_the_release_that_began_it(rolled: Rolled) -> None:
    assert rolled.slow == [rolled.old]


def test_upload_under_way_arrives_whole(rolled: Rolled) -> None:
    [answer] = rolled.upload
    assert answer.startswith("200 ")
    assert '"received": 100' in answer


def test_connection_in_use_goes_over_to_the_new_release(rolled: Rolled) -> None:
    assert set(rolled.keepalive) == {rolled.old, rolled.new}


def test_requests_that_nobody_repeats_are_all_answered(rolled: Rolled) -> None:
    assert set(rolled.posts) == {rolled.old, rolled.new}


def test_websocket_stays_open_over_the_switch(rolled: Rolled) -> None:
    assert rolled.websocket == b"still here"


def test_websocket_that_never_ends_is_closed_when_the_drain_time_is_over(site: Site) -> None:
    old, version = site.backends(), site.declare_next()
    with socket.create_connection(("127.0.0.1", site.port), timeout=15) as websocket:
        websocket.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        assert b" 101 " in websocket.recv(4096)
        with Events(site) as events:
            deploy = site.begin_deploy(edge={"drain_timeout": "3s"})
            reload = events.wait(lambda action, _actor, _key: action.startswith("exec_start") and "-s reload" in action)
            stop = events.wait(lambda action, _actor, key: action == "kill" and key in old.values())
        assert websocket.recv(100) == b""
    good(result_of(deploy))
    assert 2.9 < (stop["timeNano"] - reload["timeNano"]) / 1e9 < 5
    assert site.ask() == version
    site.is_settled()
