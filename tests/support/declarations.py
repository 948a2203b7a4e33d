# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declarations as users write them, plain and odd ones, each with the source tree it is about.

Every template has to render to something valid for every one of them: what is here is checked everywhere.
"""

from __future__ import annotations

import gzip
import itertools
import json
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

SERVICES = ("db", "redis", "backend", "worker", "frontend", "nginx")
OFF = {"enabled": False}
# The files that tell the package manager of a part.
BACKENDS: dict[str, dict[str, str]] = {
    "uv": {"pyproject.toml": "", "uv.lock": "", "uv.toml": ""},
    "poetry": {"pyproject.toml": "", "poetry.lock": ""},
    "requirements": {
        "requirements.txt": "-r requirements/base.txt\n",
        "requirements/base.txt": "fastapi==1\n",
        "requirements-dev.txt": "-r requirements.txt\n",
    },
    "requirements alone": {"requirements.txt": "fastapi==1\n"},
    "pyproject": {"pyproject.toml": "[dependency-groups]\ndev = []\n"},
    "pyproject with extra": {"pyproject.toml": "[project]\nname = 'x'\n[project.optional-dependencies]\ntest = []\n"},
    "ignoring": {"pyproject.toml": "", "uv.lock": "", ".dockerignore": "# Ours: {{ x }} ü\nprivate\n"},
    "own": {"Dockerfile": "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\n"},
}
FRONTENDS: dict[str, dict[str, str]] = {
    "pnpm": {"package.json": "{}", "pnpm-lock.yaml": "lockfileVersion: '9.0'\n", "pnpm-workspace.yaml": ""},
    "pnpm with patches": {
        "package.json": json.dumps({"packageManager": "pnpm@10.4.1+sha512.abc"}),
        "pnpm-lock.yaml": "",
        "patches/@scope__package@1.0.0.patch": "",
    },
    "npm": {"package.json": "{}", "package-lock.json": "{}", ".npmrc": ""},
    "yarn": {"package.json": "{}", "yarn.lock": ""},
    "own": {"Dockerfile": "ARG NGINX_IMAGE\nFROM ${NGINX_IMAGE}\n"},
}
ODD_VALUES: dict[str, t.Any] = {
    "UNICODE": "Grüße, 世界, \u0443\u0440\u0430",
    "EMOJI": "\U0001f6a2 and \U0001f468\u200d\U0001f469",
    "DOLLARS": "$HOME ${HOME} $$ ${X:-y} $",
    "QUOTES": """'single' "double" \\backslash\\n `tick`""",
    "HASH": "a # b",
    "PERCENT": "%H %% 100%",
    "COLON": "key: value",
    "URL": "https://user@shop.example.com:8443/?a=b&c=%20#d",
    "LINES": "first\nsecond\n\tthird\r\n",
    "LINE_SEPARATORS": "a\x85b\u2028c\u2029d\ufeffe\u00a0f",
    "CONTROL": "\x1b[1m\x07\x7f",
    "SPACES": "  around  ",
    "EMPTY": "",
    "LONG": "0123456789abcdef " * 2000,
    "BRACES": "{a: [b, c]}",
    "JINJA": "{{ '{{ x }} {% y %}' }}",
    "TRUTH": True,
    "UNTRUTH": False,
    "NUMBER": 8000,
    "FRACTION": 0.25,
    # Strings that YAML would read as something else.
    **{f"WORD_{index}": word for index, word in enumerate(["on", "no", "null", "~", "1e3", "0123", "0x1F", "1_000"])},
    **{
        f"SIGN_{index}": word
        for index, word in enumerate(["12:30:45", "2026-01-02", "!tag", "*x", "&x", "|", "-", "?"])
    },
    # Names that YAML would read as something else.
    **dict.fromkeys(("on", "No", "null", "y", "1e3", "0123", "lower.dotted-name", "Größe"), "name"),
}
LONGEST_DOMAIN = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@dataclass(frozen=True, eq=False)
class Declaration:
    """What a user states: ``variables`` of the inventory, and the source tree.

    ``backend`` and ``frontend`` name a kind of part; empty for a repository without it. ``path`` is the source's,
    relative to the directory of the test.
    """

    name: str
    variables: t.Mapping[str, t.Any] = field(default_factory=dict)
    backend: str = "uv"
    frontend: str = "pnpm"
    scripts: t.Mapping[str, bytes] = field(default_factory=dict)
    path: str = "shop"

    def __post_init__(self) -> None:
        """Fill in what every declaration needs."""
        object.__setattr__(self, "variables", {"stack_domain": "shop.example.com", **self.variables})

    def part_path(self, part: str) -> str:
        """Return where a part is in the source."""
        return str(self.variables.get("stack_services", {}).get(part, {}).get("path", f"apps/{part}"))

    def make_source(self, directory: Path) -> Path:
        """Make the source tree below ``directory`` and return its root."""
        root = directory / self.path
        root.mkdir(parents=True)
        for part, files in (
            ("backend", BACKENDS.get(self.backend, {})),
            ("frontend", FRONTENDS.get(self.frontend, {})),
        ):
            for name, text in files.items():
                file = root / self.part_path(part) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        for name, content in self.scripts.items():
            (root / "scripts").mkdir(exist_ok=True)
            (root / "scripts" / name).write_bytes(content)
        return root


def without(*services: str) -> dict[str, t.Any]:
    """Return the variables of a stack that leaves services out."""
    return {"stack_services": dict.fromkeys(services, OFF)}


def only(*services: str) -> Declaration:
    """Return a stack of these services alone, in a repository with nothing else."""
    off = without(*(service for service in SERVICES if service not in services))
    application = "backend" in services or "worker" in services
    return Declaration(
        f"only {' and '.join(services)}",
        off,
        backend="uv" if application else "",
        frontend="pnpm" if "frontend" in services else "",
    )


def named(name: str) -> Declaration:
    """Return a stack of this name."""
    return Declaration(f"name {name}", {"stack_name": name})


FULL = Declaration(
    "full",
    {
        "stack_name": "shop",
        "stack_domain": "shop.example.com",
        "stack_domain_aliases": ["www.shop.example.com", "shop.example.org", "xn--bcher-kva.example", "10.0.0.1"],
        "stack_environment": "production",
        "stack_tls_provider": "provided",
        "stack_http_port": 8080,
        "stack_https_port": 8443,
        "stack_root": "/opt/shop",
        "stack_user": "deploy",
        "stack_database": "shop_production",
        "stack_secrets": {
            "postgres_password": "Zq3-vd2Lk0_pXz91",
            "redis_password": "Wq3-vd2Lk0_pXz92",
            "secret_key": "Vq3-vd2Lk0_pXz93",
            "stripe_key": "Uq3-vd2Lk0_pXz94",
            "null": "Tq3-vd2Lk0_pXz95",
            "on": "Sq3-vd2Lk0_pXz96",
        },
        "stack_services": {
            "db": {
                **{"enabled": True, "replicas": 1, "cpus": 2, "memory": "2G", "pids": 300, "cpus_reserved": 0.5},
                **{"memory_reserved": "1G", "environment": {"POSTGRES_INITDB_ARGS": "--data-checksums"}},
                "stop_grace_period": "1m30s",
            },
            "redis": {
                **{"enabled": True, "replicas": 1, "cpus": 0.25, "memory": "128m", "pids": 20, "cpus_reserved": 0.1},
                **{"memory_reserved": "64m", "environment": {"TZ": "Europe/Berlin"}, "stop_grace_period": "10s"},
            },
            "backend": {
                **{"enabled": True, "replicas": 3, "cpus": 1.5, "memory": "1.5gb", "pids": 500, "cpus_reserved": 0.5},
                **{"memory_reserved": "512MB", "environment": ODD_VALUES, "stop_grace_period": "45s"},
                **{"path": "services/api", "health_path": "/health/ready%20now/~x.y-z"},
                "command": ["sh", "-c", 'exec uvicorn "app.main:app" --port 8000 --root-path "$ROOT" # ü \U0001f6a2'],
            },
            "worker": {
                **{"enabled": True, "replicas": 2, "cpus": 1, "memory": "768M", "pids": 100, "cpus_reserved": 0.2},
                **{"memory_reserved": "256M", "environment": ODD_VALUES, "stop_grace_period": "2m", "app": "jobs:app"},
                "command": ["celery", "-A", "jobs:app", "worker", "--queues", "a,b", "--hostname", "w@$$HOSTNAME"],
            },
            "frontend": {
                **{"enabled": True, "replicas": 2, "cpus": 0.5, "memory": "96M", "pids": 30, "cpus_reserved": 0.1},
                **{"memory_reserved": "32M", "environment": {"A": "$b"}, "stop_grace_period": "5s"},
                **{"path": "services/web", "output": "build/client"},
            },
            "nginx": {
                **{"enabled": True, "replicas": 1, "cpus": 1, "memory": "256M", "pids": 40, "cpus_reserved": 0.1},
                **{"memory_reserved": "64M", "environment": {"TZ": "Europe/Berlin"}, "stop_grace_period": "60s"},
            },
        },
        "compose_project_ca_bundle": "/etc/ssl/company.pem",
        "compose_project_api_url": "https://shop.example.com/v1.0",
        "nginx_proxy_extra_server_names": ["localhost", "127.0.0.1", "::1"],
        "nginx_proxy_api_path": "/v1.0/",
        "nginx_proxy_api_strip_prefix": False,
        "nginx_proxy_max_body_size": "1g",
        "nginx_proxy_connect_timeout": "500ms",
        "nginx_proxy_read_timeout": "1h",
        "nginx_proxy_send_timeout": "2m",
        "nginx_proxy_keepalive_timeout": "0",
        "nginx_proxy_drain_timeout": "5m",
        "nginx_proxy_worker_processes": "auto",
        "nginx_proxy_worker_connections": 4096,
        "nginx_proxy_tls_groups": ["X25519", "prime256v1"],
        "nginx_proxy_hsts": "max-age=63072000; includeSubDomains; preload",
        "nginx_proxy_content_security_policy": "default-src 'none'; img-src https: data:",
        "nginx_proxy_security_headers": {"X-Own": 'a "b" \\c', "Reporting-Endpoints": 'main="https://r.example/x"'},
        "nginx_proxy_gzip_types": ["application/json"],
        "nginx_proxy_extra_locations": "location = /ping {\n    return 204;\n}",
        "nginx_proxy_extra_directives": "limit_req_zone $binary_remote_addr zone=logins:1m rate=1r/s;",
    },
    scripts={
        "init-db.sql": "SELECT 'ü {{ x }} {% y %} $z';\n".encode(),
        "init-db-latin1.sql": "SELECT 'ü';\n".encode("latin-1"),
        "init-db-2.sh": b"#!/bin/sh\necho \"$POSTGRES_DB\" '{% raw %}'\n",
        "init-db-3.sql.gz": gzip.compress(b"SELECT 1;\n", mtime=0),
    },
)
DECLARATIONS: tuple[Declaration, ...] = (
    Declaration("minimal"),
    FULL,
    # Services that are off, and what is left.
    *(Declaration(f"without {service}", without(service)) for service in SERVICES),
    *(Declaration(f"without {a} and {b}", without(a, b)) for a, b in itertools.combinations(SERVICES, 2)),
    *(only(service) for service in SERVICES),
    only("db", "backend"),
    only("frontend", "nginx"),
    only("backend", "nginx"),
    only("db", "redis"),
    Declaration(
        "worker in a directory of its own",
        {"stack_services": {"backend": {**OFF, "path": "jobs"}, "frontend": OFF, "nginx": OFF}},
        frontend="",
    ),
    # Names.
    *(named(name) for name in ("a", "shop-2", "a-1-b--c", "s" * 31, "on", "no", "null", "true", "y", "e3", "x0123")),
    Declaration("database null", {"stack_database": "null"}),
    Declaration("longest database", {"stack_database": "_" + "d" * 62}),
    # Environment.
    *(
        Declaration(f"odd environment of {service}", {"stack_services": {service: {"environment": ODD_VALUES}}})
        for service in SERVICES
    ),
    # Where the site is.
    Declaration("longest domain", {"stack_domain": LONGEST_DOMAIN}),
    Declaration("wildcard domain", {"stack_domain": "*.example.com", "stack_domain_aliases": ["example.com"]}),
    Declaration(
        "same name twice", {"stack_domain_aliases": ["shop.example.com", "www.example.com", "WWW.example.com"]}
    ),
    Declaration("many domains", {"stack_domain_aliases": [f"shop-{index}.example.com" for index in range(300)]}),
    Declaration("IPv6 alias", {"stack_domain_aliases": ["2001:DB8:0::1", "::1", "192.0.2.1"]}),
    Declaration("IPv6 domain", {"stack_domain": "2001:db8::1", "stack_https_port": 8443}),
    Declaration("IPv6 extra name", {"tls_certificates_extra_names": ["localhost", "::1"]}),
    Declaration("other ports", {"stack_http_port": "8080", "stack_https_port": "18443"}),
    Declaration("development", {"stack_environment": "development"}),
    Declaration("provided certificate", {"stack_tls_provider": "provided"}),
    Declaration("API on every path", {**without("frontend"), "nginx_proxy_api_path": "/"}, frontend=""),
    Declaration(
        "API on every path, kept",
        {**without("frontend"), "nginx_proxy_api_path": "/", "nginx_proxy_api_strip_prefix": False},
        frontend="",
    ),
    Declaration("no headers", {"nginx_proxy_security_headers": {}, "nginx_proxy_content_security_policy": ""}),
    # Where things are: on the controller and on the host.
    Declaration("odd source path", {"ansible_connection": "local"}, path="My Projects/ünï: #1 $HOME 'x' \"y\"/shop"),
    Declaration("source path YAML reads as a number", {"stack_root": "/srv/On 1 #x $HOME 'y' \"z\" ü"}, path="1e3"),
    Declaration(
        "parts at the root and deep down",
        {"stack_services": {"backend": {"path": "."}, "frontend": {"path": "a b/c #1/d", "output": "build/ü-1/@x"}}},
    ),
    # Source trees.
    *(Declaration(f"backend {kind}", backend=kind) for kind in BACKENDS),
    *(Declaration(f"frontend {kind}", frontend=kind) for kind in FRONTENDS),
    Declaration("own Dockerfiles", backend="own", frontend="own"),
    Declaration("init scripts", scripts=FULL.scripts),
    Declaration("init script with an odd name", scripts={"init-db 1: ü #$x.sql": b"SELECT 1;"}),
    # Sizes.
    *(
        Declaration(
            f"{count} replicas",
            {"stack_services": {service: {"replicas": count} for service in ("backend", "worker", "frontend")}},
        )
        for count in (1, 3, 100)
    ),
    Declaration("small limits", {"stack_services": {service: {"cpus": 0.01, "memory": "8M"} for service in SERVICES}}),
)
