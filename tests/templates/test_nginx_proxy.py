# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge's templates as Ansible renders them, for stacks of several shapes."""

from __future__ import annotations

import re
import typing as t

import pytest
from declarations import SERVICES, Declaration, without
from rendering import Rendered

Edge = t.Callable[..., dict[str, str]]


@pytest.fixture
def edge(render: t.Callable[[Declaration], Rendered]) -> Edge:
    """Render the edge of a stack with these variables."""

    def files(**variables: t.Any) -> dict[str, str]:
        return render(Declaration("edge", {"stack_tls_provider": "provided", **variables})).edge

    return files


def test_every_proxied_service_has_its_upstream_and_every_name_is_answered(rendered: Rendered) -> None:
    edge = rendered.edge
    if not edge:
        assert "nginx" not in rendered.model["services"]
        return
    proxied = set(re.findall(r"proxy_pass http://stack_(\w+)", edge["conf.d/site.conf"]))
    assert proxied == {name for name in ("backend", "frontend") if name in rendered.model["services"]}
    assert {name for name in edge if name.startswith("upstreams/")} == {f"upstreams/{name}.conf" for name in proxied}
    names = {f"[{name}]" if ":" in name else name for name in rendered.model["server_names"]}
    for file in ("conf.d/site.conf", "conf.d/redirect.conf"):
        [answered] = [found for found in re.findall(r"server_name (.*);", edge[file]) if found != "_"]
        # nginx takes no notice of case, and warns of a name that is there twice.
        assert {name.lower() for name in names} <= {name.lower() for name in answered.split()}
        assert len(answered.split()) == len({name.lower() for name in answered.split()})


def test_redirect_names_the_published_port_only_if_it_is_not_443(edge: Edge) -> None:
    assert "return 308 https://$host$request_uri;" in edge()["conf.d/redirect.conf"]
    assert "return 308 https://$host:8443$request_uri;" in edge(stack_https_port=8443)["conf.d/redirect.conf"]


def test_further_names_are_answered_and_an_ipv6_address_is_in_brackets(edge: Edge) -> None:
    site = edge(stack_domain_aliases=["www.shop.example.com"], tls_certificates_extra_names=["localhost", "::1"])[
        "conf.d/site.conf"
    ]
    assert "server_name shop.example.com www.shop.example.com localhost [::1];" in site


def test_prefix_is_stripped_or_kept(edge: Edge) -> None:
    stripped = edge()["conf.d/site.conf"]
    kept = edge(nginx_proxy_api_strip_prefix=False)["conf.d/site.conf"]
    assert "proxy_pass http://stack_backend$stack_backend_uri;" in stripped
    assert "proxy_set_header X-Forwarded-Prefix /api;" in stripped
    assert "proxy_pass http://stack_backend;" in kept
    assert "stack_backend_uri" not in kept
    assert "X-Forwarded-Prefix" not in kept


def test_dot_in_the_api_path_is_a_dot(edge: Edge) -> None:
    assert r'"~^/v1\.0(?<stack_backend_rest>/.*)$"' in edge(nginx_proxy_api_path="/v1.0/")["conf.d/site.conf"]


@pytest.mark.parametrize(
    ("services", "path", "present", "absent"),
    [
        (["nginx", "backend"], "/api/", ["location /api/ {", "return 404;"], ["stack_frontend", "@site_unavailable"]),
        (["nginx", "frontend"], "/api/", ["stack_frontend"], ["stack_backend", "@api_", "/api"]),
        (["nginx", "backend"], "/", ["location / {", "http://stack_backend$"], ["return 404", "location = ", "Prefix"]),
        (["nginx"], "/api/", ["return 404;"], ["proxy_pass"]),
    ],
)
def test_service_that_is_off_leaves_no_trace(
    edge: Edge, services: list[str], path: str, present: list[str], absent: list[str]
) -> None:
    off = without(*(name for name in SERVICES if name not in services))
    site = edge(**off, nginx_proxy_api_path=path)["conf.d/site.conf"]
    assert site.count("location / {") == 1
    assert [text for text in present if text not in site] == []
    assert [text for text in absent if text in site] == []


def test_every_header_is_sent_with_errors_too(edge: Edge) -> None:
    snippet = edge(nginx_proxy_security_headers={"X-Own": "1"})["snippets/headers.conf"]
    names = re.findall(r"^add_header (\S+) \S+ always;$", snippet, re.MULTILINE)
    assert names == ["X-Own", "Content-Security-Policy", "Strict-Transport-Security", "X-Request-ID", "Retry-After"]
    assert len(snippet.splitlines()) == len(names) + 1


def test_strict_transport_security_is_off_for_a_local_ca(edge: Edge) -> None:
    for file in ("nginx.conf", "snippets/headers.conf"):
        assert "stack_hsts" in edge()[file]
        assert "stack_hsts" not in edge(stack_tls_provider="self_signed")[file]
    assert "max-age=63072000" in edge()["nginx.conf"]


def test_empty_policy_sends_no_header(edge: Edge) -> None:
    assert "content_security_policy" not in edge(nginx_proxy_content_security_policy="")["nginx.conf"]


def test_quotes_in_a_header_stay_inside_it(edge: Edge) -> None:
    config = edge(nginx_proxy_security_headers={"X-Own": 'a "b" \\c'})["nginx.conf"]
    assert r'"" "a \"b\" \\c";' in config


def test_tls_is_the_intermediate_configuration_of_mozilla_guideline_6(edge: Edge) -> None:
    config = edge()["nginx.conf"]
    ciphers = re.search(r"ssl_ciphers (\S+);", config)
    assert ciphers is not None
    assert ciphers[1].split(":") == [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ]
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in config
    assert "ssl_ecdh_curve X25519MLKEM768:X25519:prime256v1:secp384r1;" in config
    assert "ssl_dhparam" not in config
    assert "ssl_stapling" not in config


def test_own_directives_get_their_place(edge: Edge) -> None:
    config = edge(nginx_proxy_extra_directives="map_hash_bucket_size 128;\nlimit_req_status 429;")["nginx.conf"]
    site = edge(nginx_proxy_extra_locations="location = /ping {\n    return 204;\n}")["conf.d/site.conf"]
    assert "    map_hash_bucket_size 128;\n    limit_req_status 429;\n" in config
    assert "    location = /ping {\n        return 204;\n    }\n" in site


def test_upstream_follows_the_service_to_its_new_address(edge: Edge) -> None:
    upstream = edge()["upstreams/backend.conf"]
    assert "include /etc/nginx/stack/servers/backend.conf;" in upstream
    assert "server backend:8000 resolve " in edge()["servers/backend.conf"]
    assert "zone stack_backend " in upstream
