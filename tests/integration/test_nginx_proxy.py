# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge as a client sees it: rendered by the role, served by its image, with real services behind it."""

from __future__ import annotations

import json
import ssl
import time
import typing as t
from pathlib import Path

import docker
import pytest
from edge import Edge
from playbook import Outcome, run_play

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self';",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "permissions-policy": "camera=()",
    "cross-origin-opener-policy": "same-origin",
}
OPTIONS = {
    "nginx_proxy_max_body_size": "1m",
    "nginx_proxy_extra_locations": "location = /tls-group {\n    return 200 $ssl_curve;\n}",
    "tls_certificates_extra_names": ["localhost"],
}
ASK_FOR_GROUP = """
import socket, ssl, sys
context = ssl._create_unverified_context()
with context.wrap_socket(socket.create_connection((sys.argv[1], 8443)), server_hostname="shop.test") as connection:
    connection.sendall(b"GET /tls-group HTTP/1.0\\r\\nHost: shop.test\\r\\n\\r\\n")
    print(connection.makefile().read().split()[-1])
"""


def model(root: Path) -> dict[str, t.Any]:
    return {
        "name": "shop",
        "root": str(root),
        "server_names": ["shop.test", "www.shop.test"],
        "tls_provider": "self_signed",
        "http_port": 18080,
        "https_port": 18443,
        "services": {
            "nginx": {"uid": 101, "gid": 101},
            "backend": {"port": 8000},
            "frontend": {"port": 8080},
        },
    }


def configure(root: Path, image: str, *arguments: str, **variables: t.Any) -> Outcome:
    """Apply both roles of the edge; ``arguments`` go to ansible-playbook."""
    roles = ["shipshape.stack.tls_certificates", "shipshape.stack.nginx_proxy"]
    return run_play(
        [{"hosts": "all", "gather_facts": False, "roles": roles}],
        extra_vars={"stack_model": model(root), "nginx_proxy_image": image} | OPTIONS | variables,
        options=arguments,
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The images a stack would use; built by the role, or found if they are there."""
    target = tmp_path_factory.mktemp("images") / "images.json"
    outcome = run_play(
        [
            {
                "hosts": "all",
                "gather_facts": False,
                "roles": ["shipshape.stack.base_images"],
                "tasks": [
                    {
                        "name": "Hand the references to the test",
                        "ansible.builtin.copy": {
                            "dest": str(target),
                            "content": "{{ base_images_resolved.images | to_json }}",
                            "mode": "0644",
                        },
                    }
                ],
            }
        ],
        extra_vars={"stack_model": {"services": {"nginx": {"kind": "nginx"}, "backend": {"kind": "fastapi"}}}},
    )
    assert outcome.returncode == 0
    found: dict[str, str] = json.loads(target.read_text())
    return found


@pytest.fixture(scope="module")
def engine() -> t.Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def edge(
    engine: docker.DockerClient, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[Edge]:
    root = tmp_path_factory.mktemp("stack")
    assert configure(root, images["nginx"]).returncode == 0
    edge = Edge(engine, images, root)
    try:
        for name in ("backend", "frontend"):
            edge.start_service(name)
        edge.start()
        yield edge
    finally:
        edge.close()


def tree(directory: Path) -> dict[str, tuple[int, str]]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.read_text()) for path in files}


def missing_headers(answer: t.Any) -> list[str]:
    return [name for name, start in SECURITY_HEADERS.items() if not answer.header(name).startswith(start)]


# What a client gets


def test_http_leads_to_the_published_https_port(edge: Edge) -> None:
    answer = edge.get("/list?item=1", scheme="http", host="www.shop.test")
    assert answer.status == 308
    assert answer.header("location") == "https://www.shop.test:18443/list?item=1"


def test_site_comes_from_the_frontend_over_http2(edge: Edge) -> None:
    answer = edge.get("/list", "--http2")
    assert (answer.version, answer.status) == ("2", 200)
    assert (answer.json()["service"], answer.json()["path"]) == ("frontend", "/list")
    assert answer.header("server") == "nginx"


def test_api_comes_from_the_backend_without_prefix_and_as_it_was_written(edge: Edge) -> None:
    answer = edge.get("/api/items/a%2Fb//c?q=%C3%A4&x=1").json()
    assert (answer["service"], answer["path"]) == ("backend", "/items/a%2Fb//c?q=%C3%A4&x=1")
    assert answer["headers"]["x-forwarded-prefix"] == "/api"
    assert edge.get("/api?x=1").header("location") == "/api/?x=1"
    assert edge.get("/apiary").json()["service"] == "frontend"


def test_path_that_only_resolves_to_the_api_is_refused(edge: Edge) -> None:
    assert edge.get("/static/../api/items").status == 400
    assert edge.get("/api/../list").json()["service"] == "frontend"


def test_services_learn_who_asked_and_for_what(edge: Edge) -> None:
    claimed = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http", "X-Request-ID: mine", "Forwarded: for=x"]
    options = [word for header in claimed for word in ("--header", header)]
    answer = edge.get("/api/whoami", *options, host="shop.test")
    headers = answer.json()["headers"]
    assert headers["host"] == headers["x-forwarded-host"] == "shop.test"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-port"] == "18443"
    assert headers["x-forwarded-for"] == headers["x-real-ip"] != "203.0.113.9"
    assert headers["x-request-id"] == answer.header("x-request-id") != "mine"
    assert "forwarded" not in headers


def test_connection_can_be_upgraded_to_websocket(edge: Edge) -> None:
    with edge.connect(edge.trusting()) as connection:
        connection.sendall(
            b"GET /api/live HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = connection.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        for message in (b"one", b"two"):
            connection.sendall(message)
            assert connection.recv(4096) == message


def test_upgrade_to_anything_else_goes_no_further(edge: Edge) -> None:
    answer = edge.get("/api/x", "--http1.1", "--header", "Connection: Upgrade", "--header", "Upgrade: h2c")
    assert answer.status == 200
    assert "upgrade" not in answer.json()["headers"]


def test_security_headers_are_on_every_answer(edge: Edge) -> None:
    answers = [
        edge.get("/"),
        edge.get("/api/items"),
        edge.get("/missing"),
        edge.get("/", scheme="http"),
        edge.get("/", "--insecure", host="other.test"),
        edge.get("/api/large", "--data-binary", f"@{_large_file(edge)}"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 404, 308, 421, 413]
    assert [missing_headers(answer) for answer in answers] == [[]] * len(answers)


def test_policy_of_the_application_goes_before_ours(edge: Edge) -> None:
    answer = edge.get("/own-policy")
    assert answer.header("content-security-policy") == "default-src 'none'"
    assert answer.header("x-request-id") != "not-the-edge's"


def test_browser_is_not_bound_to_https_by_a_local_ca(edge: Edge) -> None:
    assert edge.get("/").header("strict-transport-security") == ""


def test_unknown_host_is_misdirected_and_not_redirected(edge: Edge) -> None:
    assert edge.get("/", "--insecure", host="other.test").status == 421
    assert edge.get("/", host="other.test", scheme="http").status == 421
    assert edge.get("/", "--header", "Host: other.test").status == 421
    assert edge.get("/", host="localhost").status == 200


def test_health_is_seen_from_inside_the_container_only(edge: Edge) -> None:
    question = "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /edge-health HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    code, output = edge.execute("bash", "-c", question)
    assert (code, output.split()[1]) == (0, "200")
    assert edge.get("/edge-health", scheme="http").status == 308
    assert edge.get("/edge-health", scheme="http", host="127.0.0.1").status == 421


def test_text_is_compressed_and_images_are_not(edge: Edge) -> None:
    encodings = {
        path: edge.get(path, "--header", "Accept-Encoding: gzip").header("content-encoding")
        for path in ("/large.txt", "/large.json", "/large.png")
    }
    assert encodings == {"/large.txt": "gzip", "/large.json": "gzip", "/large.png": ""}


def test_body_that_is_too_large_is_refused_in_the_language_of_the_api(edge: Edge) -> None:
    upload = f"@{_large_file(edge)}"
    answer = edge.get("/api/upload", "--data-binary", upload)
    assert (answer.status, answer.header("content-type")) == (413, "application/json")
    assert "1m" in answer.json()["detail"]
    assert edge.get("/upload", "--data-binary", upload).status == 413
    assert edge.get("/api/upload", "--data-binary", "x" * 1000).json()["received"] == 1000


def test_access_log_is_json_and_holds_no_query(edge: Edge) -> None:
    answer = edge.get("/api/items?token=secret", "--user-agent", 'a "quoted" agent')
    wanted = answer.header("x-request-id")
    edge.wait_for(lambda: any(wanted in line for line in edge.log()))
    lines = [json.loads(line) for line in edge.log()]
    entry = next(line for line in lines if line["request_id"] == wanted)
    assert (entry["method"], entry["host"], entry["path"]) == ("GET", "shop.test", "/api/items")
    assert (entry["status"], entry["upstream_status"]) == (200, "200")
    assert entry["upstream_addr"] == f"{edge.address('backend')}:8000"
    assert isinstance(entry["request_time"], float)
    assert float(entry["upstream_response_time"]) >= 0
    assert entry["user_agent"] == 'a "quoted" agent'
    assert "secret" not in json.dumps(entry)


# TLS


def _client(version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused_by_the_edge(edge: Edge, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        edge.connect(_client(version, "ALL"))


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_cipher_without_forward_secrecy_or_authentication_is_refused(edge: Edge, cipher: str) -> None:
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        edge.connect(_client(ssl.TLSVersion.TLSv1_2, cipher))


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_intermediate_cipher_is_taken(edge: Edge, cipher: str) -> None:
    with edge.connect(_client(ssl.TLSVersion.TLSv1_2, cipher)) as connection:
        negotiated = connection.cipher()
        assert negotiated is not None
        assert negotiated[:2] == (cipher, "TLSv1.2")


def test_modern_client_gets_tls_13_and_a_certificate_it_trusts(edge: Edge) -> None:
    for name in ("shop.test", "www.shop.test", "localhost"):
        with edge.connect(edge.trusting(), name) as connection:
            assert connection.version() == "TLSv1.3"


def test_client_that_can_agrees_on_a_key_no_quantum_computer_finds(edge: Edge) -> None:
    assert edge.ask_from_inside("frontend", ASK_FOR_GROUP) == "X25519MLKEM768"


# When a service is away


def test_backend_that_is_down_is_answered_for(edge: Edge) -> None:
    edge.stop_service("backend")
    try:
        at_once = edge.get("/api/items", "--request", "POST")  # nginx may still know the old address: 504 in 2 s
        edge.wait_for(lambda: edge.get("/api/items").status == 503)
        answer = edge.get("/api/items", "--request", "POST")
        frontend = edge.get("/")
    finally:
        edge.start_service("backend")
    assert at_once.status in (503, 504)
    assert answer.status == 503
    for each in (at_once, answer):
        assert (each.header("content-type"), each.header("retry-after")) == ("application/json", "2")
        assert each.json()["request_id"] == each.header("x-request-id")
        assert missing_headers(each) == []
    assert frontend.status == 200


def test_frontend_that_is_down_is_answered_for(edge: Edge) -> None:
    edge.stop_service("frontend")
    try:
        answer = edge.get("/")
    finally:
        edge.start_service("frontend")
    assert (answer.status, answer.header("content-type"), answer.header("retry-after")) == (503, "text/html", "2")
    assert missing_headers(answer) == []
    edge.wait_for(lambda: edge.get("/").status == 200)


def test_backend_with_another_address_is_served_within_two_seconds(edge: Edge) -> None:
    edge.wait_for(lambda: edge.get("/api/items").status == 200)
    before = edge.address("backend")
    edge.stop_service("backend")
    edge.wait_for(lambda: edge.get("/api/items").status == 503)
    edge.start_service("neighbour")  # takes the address that became free
    listening = edge.start_service("backend")
    served = edge.wait_for(lambda: edge.get("/api/items").status == 200)
    assert edge.address("backend") != before
    assert served - listening <= 2


# What Ansible does


def test_second_run_changes_nothing_and_starts_no_container(
    edge: Edge, engine: docker.DockerClient, images: dict[str, str]
) -> None:
    since = time.time()
    outcome = configure(edge.root, images["nginx"])
    assert (outcome.returncode, outcome.counter("changed")) == (0, 0)
    started = engine.events(
        since=int(since), until=time.time(), filters={"event": "create", "image": images["nginx"]}, decode=True
    )
    assert [event for event in started if event["timeNano"] > since * 1e9] == []


def test_running_edge_takes_a_change_with_a_reload(edge: Edge, images: dict[str, str]) -> None:
    inode = (edge.root / "edge").stat().st_ino
    outcome = configure(edge.root, images["nginx"], "--diff", nginx_proxy_api_strip_prefix=False)
    assert (outcome.returncode, outcome.counter("changed")) == (0, 1)
    assert "+        proxy_pass http://stack_backend;" in outcome.output
    assert (edge.root / "edge").stat().st_ino == inode
    edge.reload()
    edge.wait_for(lambda: edge.get("/api/items").json().get("path") == "/api/items")
    assert "x-forwarded-prefix" not in edge.get("/api/items").json()["headers"]


def test_what_is_not_declared_goes_away(edge: Edge, images: dict[str, str]) -> None:
    (edge.root / "edge/conf.d/forgotten.conf").write_text("server { listen 9999; }\n")
    assert configure(edge.root, images["nginx"]).counter("changed") == 1
    assert not (edge.root / "edge/conf.d/forgotten.conf").exists()
    edge.reload()
    edge.wait_for(lambda: edge.get("/api/items").json().get("path") == "/items")


def test_invalid_configuration_never_replaces_a_valid_one(edge: Edge, images: dict[str, str]) -> None:
    before = tree(edge.root)
    outcome = configure(edge.root, images["nginx"], nginx_proxy_extra_directives="bogus on;")
    assert outcome.returncode != 0
    assert 'unknown directive "bogus"' in outcome.output
    assert "| bogus on;" in " ".join(outcome.output.split())
    assert tree(edge.root) == before
    assert list(edge.root.glob(".nginx-candidate-*")) == []
    assert edge.execute("nginx", "-t", "-e", "stderr", "-c", "/etc/nginx/stack/nginx.conf")[0] == 0


def test_invalid_configuration_is_found_in_check_mode(edge: Edge, images: dict[str, str]) -> None:
    before = tree(edge.root)
    outcome = configure(edge.root, images["nginx"], "--check", nginx_proxy_read_timeout="soon")
    assert outcome.returncode != 0
    assert 'proxy_read_timeout" directive invalid value' in outcome.output
    assert tree(edge.root) == before


def test_check_mode_on_a_bare_host_says_what_would_come(tmp_path: Path) -> None:
    root = tmp_path / "srv"
    outcome = configure(root, "absent/nginx:1", "--check")
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 2
    assert not root.exists()


def _large_file(edge: Edge) -> Path:
    path = edge.root / "large.bin"
    path.write_bytes(b"x" * 1_100_000)
    return path
