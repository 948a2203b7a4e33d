# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes: what an answer has to be, and real answers of a real server, with and without TLS."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import ssl
import threading
import time
import typing as t
from pathlib import Path

import pytest
from certificates import company, issue

from ansible_collections.shipshape.stack.plugins.module_utils import _probes
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._probes import Probe, Site

DOCUMENT = '{"status": "ok", "checks": {"db": true, "queue": null}, "nodes": [{"name": "a"}, {"name": "b"}]}'


@pytest.mark.parametrize(
    ("probe", "answer", "complaint"),
    [
        (Probe("/"), (200, "", 0.1), ""),
        (Probe("/"), (503, "", 0.1), "status 503, expected 200"),
        (Probe("/", status=404), (404, "", 0.1), ""),
        (Probe("/", status=404), (200, "", 0.1), "status 200, expected 404"),
        (Probe("/", max_seconds=2), (200, "", 2.0), ""),
        (Probe("/", max_seconds=2), (200, "", 2.004), "took 2.00 s, allowed are 2 s"),
        (Probe("/", body="v2"), (200, "release v2.1", 0.1), ""),
        (Probe("/", body="^v2$"), (200, "release v2", 0.1), "the body does not match '^v2$'"),
        (Probe("/", json={"status": "ok"}), (200, DOCUMENT, 0.1), ""),
        (Probe("/", json={"status": "down"}), (200, DOCUMENT, 0.1), 'status is "ok", expected "down"'),
        (Probe("/", json={"checks.db": True, "nodes.1.name": "b"}), (200, DOCUMENT, 0.1), ""),
        (Probe("/", json={"checks.queue": None}), (200, DOCUMENT, 0.1), ""),
        (Probe("/", json={"checks.db": False}), (200, DOCUMENT, 0.1), "checks.db is true, expected false"),
        (Probe("/", json={"nodes.2.name": "c"}), (200, DOCUMENT, 0.1), 'nodes.2.name is null, expected "c"'),
        (Probe("/", json={"nodes.x": "c"}), (200, DOCUMENT, 0.1), 'nodes.x is null, expected "c"'),
        (Probe("/", json={"status.deep": 1}), (200, DOCUMENT, 0.1), "status.deep is null, expected 1"),
        (Probe("/", json={"nodes": []}), (200, '{"nodes": []}', 0.1), ""),
        (Probe("/", json={"status": "ok"}), (200, "<html>", 0.1), "the body is not JSON"),
        (Probe("/", json={"status": "ok"}), (200, "", 0.1), "the body is not JSON"),
        # What is wrong first is told, and only that.
        (Probe("/", body="x", json={"a": 1}), (500, "", 9.0), "status 500, expected 200"),
        (Probe("/", body="x", json={"a": 1}), (200, "y", 0.1), "the body does not match 'x'"),
    ],
)
def test_answer_is_judged(probe: Probe, answer: tuple[int, str, float], complaint: str) -> None:
    assert _probes.judge(probe, *answer) == complaint


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Probe("/", body="(v2"), "is no regular expression"),
        (lambda: Probe("health"), "does not begin with a slash"),
        (lambda: Site("shop.example.com"), "is no URL"),
        (lambda: Site("ftp://shop.example.com"), "is no URL"),
        (lambda: Site("https://"), "is no URL"),
        (lambda: Site("https://shop.example.com:http"), "is no URL"),
        (lambda: Site("https://shop.example.com", "127.0.0.1:https"), "is no address"),
        (lambda: Site("https://shop.example.com", ":8443"), "is no address"),
    ],
)
def test_what_could_only_fail_is_refused_before_anything_is_touched(make: t.Callable[[], object], said: str) -> None:
    with pytest.raises(StackError, match=said) as caught:
        make()
    assert caught.value.fix


# Real answers


class Shop(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked; ``/endless`` never ends."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            stop = threading.Event()
            with contextlib.suppress(OSError):
                while not stop.wait(0.02):
                    self.wfile.write(b"1\r\n.\r\n")
            self.close_connection = True
            return
        if self.path == "/nonsense":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            self.close_connection = True
            return
        body = json.dumps({"path": self.path, "host": self.headers["Host"], "as": self.headers.get("X-As")}).encode()
        if self.path == "/large":
            body = b"x" * 3 * 1024 * 1024
        self.send_response(404 if self.path.endswith("/missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *words: t.Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *where: t.Any) -> None:
        """Say nothing of clients that go away."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> t.Iterator[str]:
    """Serve on a free port; yield the address."""
    with Server(("127.0.0.1", 0), Shop) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def address() -> t.Iterator[str]:
    with serving() as place:
        yield place


def test_site_is_asked_as_its_users_ask_it_wherever_it_is(address: str) -> None:
    expected = {"path": "/api/health?full=1", "host": "shop.example.com:8080", "as": "probe"}
    probe = Probe("/api/health?full=1", json=expected, headers={"X-As": "probe"})
    _probes.run(Site("http://shop.example.com:8080", address), [probe])
    # Below a prefix, with or without a slash at its end.
    for url in ("http://shop.example.com/shop", "http://shop.example.com/shop/"):
        _probes.run(Site(url, address), [Probe("/x", json={"path": "/shop/x", "host": "shop.example.com"})])


def test_site_is_asked_at_its_own_address_where_there_is_no_other(address: str) -> None:
    _probes.run(Site(f"http://{address}"), [Probe("/", json={"host": address})])


def test_address_without_a_port_has_that_of_the_url(address: str) -> None:
    host, port = address.split(":")
    _probes.run(Site(f"http://shop.example.com:{port}", host), [Probe("/", json={"host": f"shop.example.com:{port}"})])


def test_host_of_a_probe_goes_before_that_of_the_site(address: str) -> None:
    probe = Probe("/", headers={"Host": "admin.example.com"}, json={"host": "admin.example.com"})
    _probes.run(Site("http://shop.example.com", address), [probe])


def test_first_bad_answer_ends_it_and_is_the_evidence(address: str) -> None:
    probes = [Probe("/"), Probe("/missing"), Probe("/", status=500)]
    with pytest.raises(StackError, match=r"GET http://shop\.example\.com/missing: status 404, expected 200") as caught:
        _probes.run(Site("http://shop.example.com/", address), probes)
    assert '"path": "/missing"' in caught.value.evidence
    assert caught.value.fix


def test_no_probes_ask_nothing() -> None:
    _probes.run(Site("http://127.0.0.1:1"), [])


def test_long_answer_is_read_so_far_only(address: str) -> None:
    _probes.run(Site("http://shop.example.com", address), [Probe("/large", body="^x{1048576}$")])


def test_answer_that_never_ends_is_no_answer(address: str) -> None:
    started = time.monotonic()
    with pytest.raises(StackError, match=r"no answer: the answer did not end within 0\.3 s"):
        _probes.run(Site("http://shop.example.com", address), [Probe("/endless", max_seconds=0.3)])
    assert time.monotonic() - started < 5


def test_what_is_no_http_is_no_answer(address: str) -> None:
    with pytest.raises(StackError, match="no answer: "):
        _probes.run(Site("http://shop.example.com", address), [Probe("/nonsense")])


def test_server_that_takes_a_connection_and_says_nothing_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site = Site("http://shop.example.com", f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StackError, match="no answer: timed out"):
            _probes.run(site, [Probe("/", max_seconds=0.2)])


def test_port_nobody_listens_at_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(StackError, match=r"no answer: .*refused"):
        _probes.run(Site(f"http://127.0.0.1:{port}"), [Probe("/")])


# TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[str, Path]]:
    """Serve shop.example.com with a certificate of a CA nobody knows; the address, and the CA."""
    place = tmp_path_factory.mktemp("tls")
    authority = company()
    leaf = issue("shop", authority.intermediate, names=("shop.example.com",))
    (place / "ca.pem").write_text(authority.root.pem)
    (place / "chain.pem").write_text(authority.chain(leaf))
    (place / "key.pem").write_text(leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "chain.pem", place / "key.pem")
    with serving(context) as address:
        yield address, place / "ca.pem"


def test_certificate_of_the_given_authority_is_trusted(tls: tuple[str, Path]) -> None:
    address, ca = tls
    probe = Probe("/x", json={"path": "/x", "host": "shop.example.com"})
    _probes.run(Site("https://shop.example.com", address, str(ca)), [probe])


@pytest.mark.parametrize(
    ("url", "trusted", "said"),
    [
        ("https://shop.example.com", "", "certificate verify failed"),
        ("https://other.example.com", "ca.pem", "Hostname mismatch"),
        ("https://shop.example.com", "missing.pem", "No such file"),
        ("https://shop.example.com", "key.pem", "no answer: "),
    ],
)
def test_what_a_browser_would_refuse_fails(tls: tuple[str, Path], url: str, trusted: str, said: str) -> None:
    address, ca = tls
    with pytest.raises(StackError, match=said):
        _probes.run(Site(url, address, str(ca.parent / trusted) if trusted else ""), [Probe("/")])


def test_https_where_there_is_only_http_fails(address: str) -> None:
    with pytest.raises(StackError, match="no answer: "):
        _probes.run(Site("https://shop.example.com", address), [Probe("/")])


def test_no_connection_stays_open_while_its_error_is_kept(address: str, tls: tuple[str, Path]) -> None:
    asked = [
        (Site("http://shop.example.com", address), Probe("/endless", max_seconds=0.05)),
        (Site("http://shop.example.com", address), Probe("/missing")),
        (Site("https://other.example.com", tls[0], str(tls[1])), Probe("/")),
        (Site("https://shop.example.com", tls[0], str(tls[1].parent / "missing.pem")), Probe("/")),
    ]
    opened = len(list(Path("/proc/self/fd").iterdir()))
    errors = []
    for site, probe in asked * 3:
        with pytest.raises(StackError) as caught:
            _probes.run(site, [probe])
        errors.append(caught.value)
    # The server's ends of these connections are in this process, too, until its threads see that they are over.
    deadline = time.monotonic() + 5
    while len(list(Path("/proc/self/fd").iterdir())) > opened and time.monotonic() < deadline:
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) <= opened
    assert len(errors) == 12
