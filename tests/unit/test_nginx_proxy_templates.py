# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge's templates as Ansible renders them, for stacks of several shapes."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[2] / "roles" / "nginx_proxy"
SERVICES: dict[str, t.Any] = {
    "nginx": {"uid": 101, "gid": 101},
    "backend": {"port": 8000},
    "frontend": {"port": 8080},
}


def render(template: str, *, services: t.Sequence[str] = tuple(SERVICES), port: int = 443, **variables: t.Any) -> str:
    """Render a template of the role with its defaults, ``variables`` on top."""
    loader = DataLoader()
    known: dict[str, t.Any] = {}
    for source in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / source / "main.yml"), trusted_as_template=True)
    known["stack_model"] = {
        "root": "/srv/shop",
        "tls_provider": variables.pop("tls_provider", "provided"),
        "server_names": ["shop.example.com", "www.shop.example.com"],
        "https_port": port,
        "services": {name: SERVICES[name] for name in services},
    }
    text = trust_as_template((ROLE / "templates" / template).read_text())
    return str(Templar(loader=loader, variables=known | variables).template(text, escape_backslashes=False))


def test_redirect_names_the_published_port_only_if_it_is_not_443() -> None:
    assert "return 308 https://$host$request_uri;" in render("conf.d/redirect.conf.j2")
    assert "return 308 https://$host:8443$request_uri;" in render("conf.d/redirect.conf.j2", port=8443)


def test_further_names_are_answered_and_an_ipv6_address_is_in_brackets() -> None:
    site = render("conf.d/site.conf.j2", tls_certificates_extra_names=["localhost", "::1"])
    assert "server_name shop.example.com www.shop.example.com localhost [::1];" in site


def test_prefix_is_stripped_or_kept() -> None:
    stripped = render("conf.d/site.conf.j2")
    kept = render("conf.d/site.conf.j2", nginx_proxy_api_strip_prefix=False)
    assert "proxy_pass http://stack_backend$stack_backend_uri;" in stripped
    assert "proxy_set_header X-Forwarded-Prefix /api;" in stripped
    assert "proxy_pass http://stack_backend;" in kept
    assert "stack_backend_uri" not in kept
    assert "X-Forwarded-Prefix" not in kept


def test_dot_in_the_api_path_is_a_dot() -> None:
    assert r'"~^/v1\.0(?<stack_backend_rest>/.*)$"' in render("conf.d/site.conf.j2", nginx_proxy_api_path="/v1.0/")


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
    services: list[str], path: str, present: list[str], absent: list[str]
) -> None:
    site = render("conf.d/site.conf.j2", services=services, nginx_proxy_api_path=path)
    assert site.count("location / {") == 1
    assert [text for text in present if text not in site] == []
    assert [text for text in absent if text in site] == []


def test_every_header_is_sent_with_errors_too() -> None:
    snippet = render("snippets/headers.conf.j2", nginx_proxy_security_headers={"X-Own": "1"})
    names = re.findall(r"^add_header (\S+) \S+ always;$", snippet, re.MULTILINE)
    assert names == ["X-Own", "Content-Security-Policy", "Strict-Transport-Security", "X-Request-ID", "Retry-After"]
    assert len(snippet.splitlines()) == len(names) + 1


def test_strict_transport_security_is_off_for_a_local_ca() -> None:
    for template in ("nginx.conf.j2", "snippets/headers.conf.j2"):
        assert "stack_hsts" in render(template)
        assert "stack_hsts" not in render(template, tls_provider="self_signed")
    assert "max-age=63072000" in render("nginx.conf.j2")


def test_empty_policy_sends_no_header() -> None:
    assert "content_security_policy" not in render("nginx.conf.j2", nginx_proxy_content_security_policy="")


def test_quotes_in_a_header_stay_inside_it() -> None:
    config = render("nginx.conf.j2", nginx_proxy_security_headers={"X-Own": 'a "b" \\c'})
    assert r'"" "a \"b\" \\c";' in config


def test_tls_is_the_intermediate_configuration_of_mozilla_guideline_6() -> None:
    config = render("nginx.conf.j2")
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


def test_own_directives_get_their_place() -> None:
    config = render("nginx.conf.j2", nginx_proxy_extra_directives="map_hash_bucket_size 128;\nlimit_req_status 429;")
    site = render("conf.d/site.conf.j2", nginx_proxy_extra_locations="location = /ping {\n    return 204;\n}")
    assert "    map_hash_bucket_size 128;\n    limit_req_status 429;\n" in config
    assert "    location = /ping {\n        return 204;\n    }\n" in site


def test_upstream_follows_the_service_to_its_new_address() -> None:
    upstream = render("upstreams/service.conf.j2", nginx_proxy_service="backend")
    assert "server backend:8000 resolve " in upstream
    assert "zone stack_backend " in upstream
