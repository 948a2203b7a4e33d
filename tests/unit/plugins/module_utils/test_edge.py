# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch: the lists of servers, the files they are part of, and old workers that finish what they have begun."""

from __future__ import annotations

import os
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _edge, _engine
from ansible_collections.shipshape.stack.plugins.module_utils._edge import Edge


def servers(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_requests_go_to_the_ready_containers_and_to_the_name_only_at_last() -> None:
    assert servers(_edge.server_list("web", 8000, ["shop-web-2", "shop-web-3"])) == [
        "server shop-web-2:8000 resolve max_fails=1 fail_timeout=1s;",
        "server shop-web-3:8000 resolve max_fails=1 fail_timeout=1s;",
        "server web:8000 resolve max_fails=1 fail_timeout=1s backup;",
    ]


def test_list_without_containers_is_one_nginx_can_start_with() -> None:
    """A block whose only server is a backup is refused, and one without servers, too."""
    assert servers(_edge.server_list("web", 8000, [])) == ["server web:8000 resolve max_fails=1 fail_timeout=1s;"]
    assert _edge.server_list("web", 8000, []).endswith(";\n")


def test_option_of_a_module_becomes_an_edge() -> None:
    given = {
        "service": "nginx",
        "directory": "/srv/nginx",
        "source": None,
        "upstreams": {"backend": "8000", "frontend": 8080},
        "certificates": ["/srv/tls"],
        "drain_timeout": "1m30s",
    }
    assert _edge.from_options(given) == Edge(
        "nginx", Path("/srv/nginx"), {"backend": 8000, "frontend": 8080}, None, (Path("/srv/tls"),), 90.0
    )
    assert _edge.from_options({**given, "source": "/srv/new"}).source == Path("/srv/new")
    assert set(_edge.OPTIONS) > set(given)


@pytest.fixture
def alone(tmp_path: Path) -> Edge:
    """An edge whose configuration is somebody else's: only the lists are ours."""
    directory = tmp_path / "nginx"
    (directory / "servers").mkdir(parents=True)
    (directory / "nginx.conf").write_text("theirs")
    return Edge("nginx", directory, {"web": 80, "api": 8000})


@pytest.fixture
def declared(alone: Edge, tmp_path: Path) -> Edge:
    """An edge with a configuration that comes with the release."""
    source = tmp_path / "declared"
    for name, text in {"nginx.conf": "new", "conf.d/site.conf": "site", "servers/web.conf": "as declared"}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    return Edge("nginx", alone.directory, alone.upstreams, source)


NAMES = {"web": ["shop-web-1"], "db": ["shop-db-1"]}


def content(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_without_a_source_only_the_lists_are_decided_on(alone: Edge) -> None:
    files = alone.files(NAMES)
    assert files == {
        "servers/web.conf": _edge.server_list("web", 80, ["shop-web-1"]),
        "servers/api.conf": _edge.server_list("api", 8000, []),
    }
    assert alone.live() == {}
    alone.write(files)
    assert alone.live() == files
    assert content(alone.directory) == {"nginx.conf": "theirs", **files}


def test_list_of_a_service_that_is_no_upstream_any_more_goes_and_nothing_else(alone: Edge) -> None:
    alone.write({"servers/gone.conf": "x", **alone.files(NAMES)})
    files = alone.files(NAMES)
    assert alone.live() != files
    alone.write(files)
    assert content(alone.directory) == {"nginx.conf": "theirs", **files}


def test_with_a_source_the_directory_holds_what_it_declares_and_the_lists_as_they_are(declared: Edge) -> None:
    (declared.directory / "old.conf").write_text("x")
    (declared.directory / "conf.d").mkdir()
    (declared.directory / "conf.d/old.conf").write_text("x")
    files = declared.files(NAMES)
    assert files == {
        "nginx.conf": "new",
        "conf.d/site.conf": "site",
        "servers/web.conf": _edge.server_list("web", 80, ["shop-web-1"]),
        "servers/api.conf": _edge.server_list("api", 8000, []),
    }
    assert declared.live() == {"nginx.conf": "theirs", "old.conf": "x", "conf.d/old.conf": "x"}
    declared.write(files)
    assert content(declared.directory) == declared.live() == files


def test_declared_list_of_a_service_that_is_no_upstream_is_not_brought(declared: Edge) -> None:
    assert declared.source is not None
    (declared.source / "servers/old.conf").write_text("x")
    assert "servers/old.conf" not in declared.files(NAMES)


@pytest.mark.parametrize("kind", ["alone", "declared"])
def test_what_was_there_comes_back_as_it_was(kind: str, request: pytest.FixtureRequest) -> None:
    edge: Edge = request.getfixturevalue(kind)
    edge.write({**edge.live(), "servers/web.conf": "old"})
    before, everything = edge.live(), content(edge.directory)
    edge.write(edge.files(NAMES))
    assert content(edge.directory) != everything
    edge.write(before)
    assert content(edge.directory) == everything


def test_directory_stays_the_one_that_is_mounted_and_no_file_is_ever_half(declared: Edge) -> None:
    live = declared.directory / "nginx.conf"
    directory = declared.directory.stat().st_ino
    with live.open() as opened:
        declared.write(declared.files(NAMES))
        assert opened.read() == "theirs"
    assert declared.directory.stat().st_ino == directory
    assert {path.stat().st_mode & 0o777 for path in declared.directory.rglob("*.conf")} == {0o644}
    assert [path.name for path in declared.directory.rglob(".*")] == []


def test_writing_what_is_there_makes_no_file_newer(declared: Edge) -> None:
    """A newer file means that nginx has to reload (``has_to_load``)."""
    declared.write(declared.files(NAMES))
    for path in declared.directory.rglob("*.conf"):
        os.utime(path, (1000, 1000))
    declared.write(declared.files(NAMES))
    assert {path.stat().st_mtime for path in declared.directory.rglob("*.conf")} == {1000}


def test_missing_directory_is_made(tmp_path: Path) -> None:
    edge = Edge("nginx", tmp_path / "a/b", {"web": 80})
    assert edge.live() == {}
    edge.write(edge.files(NAMES))
    assert set(content(edge.directory)) == {"servers/web.conf"}


# The container nginx runs in


def nginx(*argv: str, pid: int = 0) -> _engine.Container:
    return _engine.Container(
        id="c1",
        name="shop-nginx-1",
        service="nginx",
        status="running",
        health="healthy",
        exit_code=0,
        oom_killed=False,
        restart_count=0,
        started_at="2027-01-15T08:00:00Z",
        error="",
        config_hash="c1",
        image="i1",
        image_name="nginx",
        cpus=0.0,
        memory=0,
        pid=pid,
        argv=argv,
    )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("nginx", "-e", "stderr", "-c", "/etc/nginx/stack/nginx.conf"), ["-c", "/etc/nginx/stack/nginx.conf"]),
        (("tini", "--", "nginx", "-c", "/a.conf", "-g", "daemon off;"), ["-c", "/a.conf"]),
        (("/docker-entrypoint.sh", "nginx", "-g", "daemon off;"), []),
        (("nginx", "-c"), []),
        ((), []),
    ],
)
def test_configuration_is_tested_that_nginx_was_started_with(argv: tuple[str, ...], words: list[str]) -> None:
    assert _edge._config(nginx(*argv)) == words


def test_nginx_has_to_load_what_is_newer_than_its_workers(tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text("")
    script = "(exec -a 'nginx: worker process' sleep 60) & echo ready; wait"
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True) as master:
        try:
            assert master.stdout is not None
            master.stdout.readline()
            container, deadline = nginx(pid=master.pid), time.time() + 10
            while not _edge.has_to_load(container, [tmp_path]):  # until the worker has become what it is called
                assert time.time() < deadline
                os.utime(file, (time.time() + 60, time.time() + 60))
            os.utime(file, (time.time() - 60, time.time() - 60))
            assert not _edge.has_to_load(container, [tmp_path])
            assert not _edge.has_to_load(container, [])
        finally:
            subprocess.run(["pkill", "--parent", str(master.pid)], check=False)
            master.kill()
    os.utime(file, (time.time() + 60, time.time() + 60))
    assert not _edge.has_to_load(nginx(pid=master.pid), [tmp_path]), "nobody is left to load anything"


# Old workers


class Workers:
    """Real processes, as the old workers of a reload."""

    def __init__(self, count: int) -> None:
        self.processes = [subprocess.Popen(["sleep", "60"]) for _number in range(count)]
        self.old = {process.pid: os.pidfd_open(process.pid) for process in self.processes}
        self.handles = list(self.old.values())

    def end(self, *numbers: int) -> None:
        for number in numbers:
            self.processes[number].kill()

    def open_handles(self) -> list[int]:
        return [number for number, handle in enumerate(self.handles) if Path(f"/proc/self/fd/{handle}").exists()]


@pytest.fixture
def three() -> t.Iterator[Workers]:
    workers = Workers(3)
    yield workers
    for process in workers.processes:
        process.kill()
        process.wait()
    _edge.close(workers.old)


def test_drained_when_all_old_workers_have_ended(three: Workers) -> None:
    three.end(0, 1, 2)
    assert _edge.drained(three.old, 30.0)
    assert three.old == {}
    assert three.open_handles() == []


def test_workers_that_do_not_end_are_waited_for_as_long_as_allowed(three: Workers) -> None:
    three.end(1)
    three.processes[1].wait()
    started = time.monotonic()
    assert not _edge.drained(three.old, 0.2)
    assert 0.2 <= time.monotonic() - started < 5
    assert set(three.old) == {three.processes[0].pid, three.processes[2].pid}
    assert three.open_handles() == [0, 2]


def test_what_is_left_can_be_waited_for_again(three: Workers) -> None:
    three.end(1)
    three.processes[1].wait()
    assert not _edge.drained(three.old, 0.05)
    three.end(0, 2)
    assert _edge.drained(three.old, 30.0)
    assert three.open_handles() == []


def test_end_of_a_worker_is_no_matter_of_a_timer(three: Workers) -> None:
    """The last worker ends while it is waited for; the wait is over then, not at the time allowed."""
    three.end(0, 1)
    ending = subprocess.Popen(["bash", "-c", f"read -t 0.2 <> <(:); kill -9 {three.processes[2].pid}"])
    started = time.monotonic()
    assert _edge.drained(three.old, 60.0)
    assert time.monotonic() - started < 20
    ending.wait()


def test_nothing_to_wait_for_is_drained() -> None:
    assert _edge.drained({}, 0.0)
    assert _edge.drained({}, 30.0)


def test_handles_of_workers_nobody_waits_for_are_closed(three: Workers) -> None:
    _edge.close(three.old)
    assert three.old == {}
    assert three.open_handles() == []
    assert [process.poll() for process in three.processes] == [None, None, None]
