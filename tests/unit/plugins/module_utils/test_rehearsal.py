# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second edge: when there can be one, and what it is made of."""

from __future__ import annotations

import copy
import typing as t
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _rehearsal
from ansible_collections.shipshape.stack.plugins.module_utils._edge import Edge
from ansible_collections.shipshape.stack.plugins.module_utils._probes import Site

EDGE = Edge("nginx", Path("/srv/shop/nginx"), {"web": 80})
SITE = Site("https://shop.example.com", "127.0.0.1:8443")


def model(**nginx: t.Any) -> dict[str, t.Any]:
    service = {
        "image": "nginx",
        "container_name": "the-edge",
        "depends_on": {"web": {"condition": "service_healthy"}},
        "healthcheck": {"test": ["CMD", "true"]},
        "deploy": {"resources": {"limits": {"memory": "64M"}}},
        "user": "101:101",
        "networks": {"edge": {"ipv4_address": "10.0.0.2", "priority": 1}, "data": None},
        "ports": [
            {"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"},
            {"mode": "ingress", "target": 443, "published": "8443", "protocol": "tcp"},
        ],
        "volumes": [
            {"type": "bind", "source": "/srv/shop/nginx", "target": "/etc/nginx/stack", "read_only": True},
            {"type": "bind", "source": "/srv/shop/tls", "target": "/etc/nginx/tls", "read_only": True},
        ],
        **nginx,
    }
    return {"name": "shop", "services": {"nginx": service, "web": {"image": "web"}}, "networks": {"edge": {}}}


def test_second_edge_is_the_edge_with_other_files_and_a_port_of_its_own() -> None:
    given = model()
    before = copy.deepcopy(given)
    made = _rehearsal.second(given, EDGE, Path("/srv/shop/.nginx-rehearsal"), 443)
    assert given == before
    assert made == {
        **given,
        "services": {
            "nginx": {
                "image": "nginx",
                "deploy": {"resources": {"limits": {"memory": "64M"}}},
                "user": "101:101",
                "restart": "no",
                "networks": {"edge": {"priority": 1}, "data": None},
                "ports": [{"mode": "ingress", "host_ip": "127.0.0.1", "target": 443, "protocol": "tcp"}],
                "volumes": [
                    given["services"]["nginx"]["volumes"][1],
                    {
                        "type": "bind",
                        "source": "/srv/shop/.nginx-rehearsal",
                        "target": "/etc/nginx/stack",
                        "read_only": True,
                    },
                ],
            }
        },
    }


def test_files_below_a_directory_that_is_mounted_are_covered_where_they_are() -> None:
    above = {"type": "bind", "source": "/srv/shop", "target": "/etc/nginx", "read_only": True}
    made = _rehearsal.second(model(volumes=[above]), EDGE, Path("/scratch"), 443)
    assert made["services"]["nginx"]["volumes"] == [
        above,
        {"type": "bind", "source": "/scratch", "target": "/etc/nginx/nginx", "read_only": True},
    ]


@pytest.mark.parametrize(
    ("nginx", "site", "reason"),
    [
        ({}, SITE, ""),
        ({}, Site("https://shop.example.com:8443"), ""),
        ({}, Site("http://127.0.0.1:8080"), ""),
        ({"network_mode": "host"}, SITE, "nginx has the network_mode host"),
        ({}, Site("https://shop.example.com"), "nginx publishes no port 443"),
        ({}, Site("http://shop.example.com"), "nginx publishes no port 80"),
        ({}, Site("http://shop.example.com", "10.0.0.1:81"), "nginx publishes no port 81"),
        ({"ports": []}, SITE, "nginx publishes no port 8443"),
        ({"volumes": []}, SITE, "/srv/shop/nginx is not mounted in nginx"),
        (
            {"volumes": [{"type": "volume", "source": "files", "target": "/etc/nginx"}]},
            SITE,
            "/srv/shop/nginx is not mounted in nginx",
        ),
    ],
)
def test_second_edge_is_to_be_had_where_the_first_leaves_room(nginx: t.Any, site: Site, reason: str) -> None:
    assert _rehearsal.obstacle(model(**nginx)["services"]["nginx"], EDGE, site) == reason


def test_second_edge_knows_the_containers_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/site.conf").write_text("site")
    edge = Edge("nginx", tmp_path, {"web": 80, "api": 8000})
    files = edge.files_for_rehearsal({"web": ["shop-web-3", "shop-web-4"]})
    assert files["servers/web.conf"] == "server shop-web-3:80;\nserver shop-web-4:80;\n"
    assert "server api:8000 resolve" in files["servers/api.conf"]
    assert files["conf.d/site.conf"] == "site"


def test_second_edge_reads_what_comes_with_the_release(tmp_path: Path) -> None:
    for name, text in (("old", "one"), ("new", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.conf").write_text(text)
    edge = Edge("nginx", tmp_path / "old", {"web": 80}, source=tmp_path / "new")
    assert edge.files_for_rehearsal({"web": ["a"]}) == {"new.conf": "two", "servers/web.conf": "server a:80;\n"}
