# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the user's ``stack_*`` variables to the complete model of the stack, or the list of what is wrong with them.

Pure except for ``inspect_source``, which looks into the source tree.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils._source import Part, SourceError, node_part, python_part

Values = t.Mapping[str, t.Any]

PLACEHOLDERS = frozenset(
    {
        *("changethis", "changeme", "change-me", "change_me", "replaceme", "replace-me", "placeholder", "example"),
        *("password", "passwd", "secret", "mysecret", "supersecret", "default", "todo", "xxx", "test"),
        *("admin", "root", "postgres", "redis"),
    }
)
SHORTEST_SECRET = 8
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
GENERATED_SECRETS = ("postgres_password", "redis_password", "secret_key")

PRESET: dict[str, dict[str, t.Any]] = {
    "db": {
        "kind": "postgres",
        "uid": 999,
        "port": 5432,
        "cpus": 1.0,
        "cpus_reserved": 0.1,
        "memory": "512M",
        "memory_reserved": "128M",
        "pids": 200,
        "stop_grace_period": "60s",
    },
    "redis": {
        "kind": "redis",
        "uid": 999,
        "port": 6379,
        "cpus": 0.5,
        "cpus_reserved": 0.05,
        "memory": "256M",
        "memory_reserved": "32M",
        "pids": 50,
        "stop_grace_period": "15s",
    },
    "backend": {
        "kind": "fastapi",
        "uid": 10001,
        "port": 8000,
        "cpus": 1.0,
        "cpus_reserved": 0.1,
        "memory": "512M",
        "memory_reserved": "128M",
        "pids": 200,
        "stop_grace_period": "30s",
        "path": "apps/backend",
        "health_path": "/health",
        "command": [
            *("uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"),
            # Only the edge can reach the service, so its forwarded headers are true.
            *("--forwarded-allow-ips", "*", "--timeout-graceful-shutdown", "20", "--no-server-header"),
        ],
    },
    "worker": {
        "kind": "celery",
        "uid": 10001,
        "port": 0,
        "cpus": 1.0,
        "cpus_reserved": 0.1,
        "memory": "512M",
        "memory_reserved": "128M",
        "pids": 200,
        "stop_grace_period": "60s",
        "app": "app.tasks",
        "command": [],
    },
    "frontend": {
        "kind": "static",
        "uid": 101,
        "port": 8080,
        "cpus": 0.5,
        "cpus_reserved": 0.05,
        "memory": "64M",
        "memory_reserved": "16M",
        "pids": 50,
        "stop_grace_period": "10s",
        "path": "apps/frontend",
        "output": "dist",
    },
    "nginx": {
        "kind": "nginx",
        "uid": 101,
        "port": 8443,
        "cpus": 1.0,
        "cpus_reserved": 0.1,
        "memory": "128M",
        "memory_reserved": "32M",
        "pids": 50,
        "stop_grace_period": "30s",
    },
}
_COMMON: dict[str, t.Any] = {"enabled": True, "replicas": 1, "environment": {}}
_FIXED = ("kind", "uid", "port")
_SINGLE = ("db", "redis", "nginx")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the declaration."""

    variable: str
    expected: str
    found: str
    fix: str

    def __str__(self) -> str:
        return f"{self.variable}: expected {self.expected}, found {self.found}. Fix: {self.fix}"


@dataclass(frozen=True)
class Source:
    """What the source tree holds: package manager of each part, own Dockerfiles, database init scripts.

    ``*_files`` maps a folder to the files in it that are needed to install the dependencies, ``backend_manifest`` is
    the one that lists them; for the rest see ``_source.Part``.
    """

    path: str
    backend_manager: str = ""
    frontend_manager: str = ""
    backend_manifest: str = ""
    backend_dev: str = ""
    backend_files: t.Mapping[str, list[str]] = field(default_factory=dict)
    frontend_files: t.Mapping[str, list[str]] = field(default_factory=dict)
    frontend_tool: str = ""
    backend_ignore: str = ""
    frontend_ignore: str = ""
    backend_dockerfile: str = ""
    frontend_dockerfile: str = ""
    init_scripts: tuple[str, ...] = ()


def problems(values: Values) -> list[Problem]:
    """Return everything wrong with the declaration, without looking at any file."""
    found = [*_name_problems(values), *_choice_problems(values), *_port_problems(values), *_source_problems(values)]
    root = values.get("stack_root")
    if not isinstance(root, str) or not re.fullmatch(r"/[^:\x00-\x1f]+", root):
        found.append(_wrong("stack_root", "an absolute path without a colon", root, "Write for example /srv/shop."))
    services = values.get("stack_services") or {}
    if not isinstance(services, dict):
        found.append(_wrong("stack_services", "a mapping of service to settings", services, "See defaults/main.yml."))
    else:
        for name, settings in services.items():
            found += _service_problems(name, settings)
        if all(isinstance(services.get(name), dict) and services[name].get("enabled") is False for name in PRESET):
            found.append(Problem("stack_services", "at least one service", "all of them disabled", "Enable one."))
    return [*found, *_secret_problems(values.get("stack_secrets") or {})]


def services_of(values: Values) -> dict[str, dict[str, t.Any]]:
    """Return the enabled services with every setting filled in."""
    overrides = values.get("stack_services") or {}
    complete = {}
    for name, preset in PRESET.items():
        stated = overrides.get(name) or {}
        service = {**_COMMON, **preset, **stated}
        # A limit below the preset's reservation lowers the reservation too; the Engine refuses one above the limit.
        if "memory_reserved" not in stated and size(service["memory_reserved"]) > size(service["memory"]):
            service["memory_reserved"] = service["memory"]
        if "cpus_reserved" not in stated:
            service["cpus_reserved"] = min(service["cpus_reserved"], service["cpus"])
        service["gid"] = service["uid"]
        if service.pop("enabled"):
            complete[name] = service
    worker = complete.get("worker")
    if worker:
        # One source and one image for both, also when only the worker is enabled.
        worker["path"] = (overrides.get("backend") or {}).get("path", PRESET["backend"]["path"])
    if worker and not worker["command"]:
        options = ["--loglevel=info", "--concurrency=2", "--without-gossip", "--without-mingle"]
        worker["command"] = ["celery", "-A", worker["app"], "worker", *options]
    return complete


def inspect_source(path: str, services: t.Mapping[str, t.Any]) -> tuple[Source, list[Problem]]:
    """Look at the source tree and return what it holds and what it lacks for these services."""
    root = Path(path)
    if not root.is_dir():
        fix = "Point stack_source at the root of the monorepo; a relative path starts at the working directory."
        return Source(path), [Problem("stack_source", "an existing directory", path, fix)]
    found: list[Problem] = []
    parts, dockerfiles = {"backend": Part(), "frontend": Part()}, {"backend": "", "frontend": ""}
    for name, inspect in (("backend", python_part), ("frontend", node_part)):
        service = services.get(name) or (services.get("worker") if name == "backend" else None)
        if not service:
            continue
        directory = root / service["path"]
        if (directory / "Dockerfile").is_file():
            dockerfiles[name] = str(directory / "Dockerfile")
            continue
        try:
            parts[name] = inspect(directory)
        except SourceError as error:
            found.append(Problem(f"stack_services.{name}.path", error.expected, error.found, error.fix))
    scripts = sorted(item for item in (root / "scripts").glob("init-db*") if item.is_file())
    backend, frontend = parts["backend"], parts["frontend"]
    source = Source(
        path=str(root.resolve()),
        backend_manager=backend.manager,
        frontend_manager=frontend.manager,
        backend_manifest=backend.manifest,
        backend_dev=backend.dev,
        backend_files=backend.manifests,
        frontend_files=frontend.manifests,
        frontend_tool=frontend.tool,
        backend_ignore=backend.ignore,
        frontend_ignore=frontend.ignore,
        backend_dockerfile=dockerfiles["backend"],
        frontend_dockerfile=dockerfiles["frontend"],
        init_scripts=tuple(str(item) for item in scripts),
    )
    return source, found


def model(values: Values, source: Source) -> dict[str, t.Any]:
    """Return the complete model of a valid declaration. It holds no secret, only their names."""
    name, domain = values["stack_name"], values["stack_domain"]
    services = services_of(values)
    extra = [key for key in values.get("stack_secrets") or {} if key not in GENERATED_SECRETS]
    return {
        "name": name,
        "domain": _canonical(domain),
        "server_names": [_canonical(host) for host in (domain, *(values.get("stack_domain_aliases") or []))],
        "environment": values["stack_environment"],
        "root": values["stack_root"],
        "user": values["stack_user"],
        "http_port": int(values["stack_http_port"]),
        "https_port": int(values["stack_https_port"]),
        "tls_provider": values["stack_tls_provider"],
        "database": values["stack_database"],
        "source": source.__dict__ | {"init_scripts": list(source.init_scripts)},
        "services": services,
        "secrets": _secret_files(values, services, extra),
    }


def is_placeholder(value: str) -> bool:
    """Return whether a secret is one of the words people forget to replace, or too short to be one."""
    return forgotten(value) or len(value) < SHORTEST_SECRET


def forgotten(value: str) -> bool:
    """Return whether a value is one of the words people forget to replace."""
    word = value.strip().lower().strip("<>{}$")
    return word in PLACEHOLDERS or bool(re.match(r"change.?(this|me)", word))


def size(value: t.Any) -> int:
    """Return bytes for a Compose size: ``512M``, ``1gb`` or a number of bytes."""
    match = re.fullmatch(r"([\d.]+)\s*([kmgt]?)b?", str(value or 0).strip().lower())
    return int(float(match[1]) * _SIZES[match[2]]) if match else 0


def is_address(host: t.Any) -> bool:
    """Return whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return isinstance(host, str)


def _canonical(host: str) -> str:
    # A browser asks for the short form of an IPv6 address, however it was written.
    return str(ipaddress.ip_address(host)) if is_address(host) else host


def _secret_files(values: Values, services: Values, extra: t.Sequence[str]) -> dict[str, t.Any]:
    database = values["stack_database"]
    app = {"secret_key": "${secret_key}", **{key: f"${{{key}}}" for key in extra}}
    if "db" in services:
        app["database_url"] = f"postgresql://{database}:${{postgres_password}}@db:5432/{database}"
        app["postgres_password"] = "${postgres_password}"
    if "redis" in services:
        app["redis_url"] = "redis://:${redis_password}@redis:6379/0"
    contents = {
        "db": {"postgres_password": "${postgres_password}"},
        "redis": {"redis_password": "${redis_password}", "redis_auth": 'requirepass "${redis_password}"\n'},
        "backend": app,
        "worker": app,
    }
    return {
        name: {"uid": service["uid"], "gid": service["gid"], "files": contents[name]}
        for name, service in services.items()
        if name in contents
    }


def _name_problems(values: Values) -> list[Problem]:
    found = []
    name = values.get("stack_name") or ""
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?", str(name)):
        expected = "lower-case letters, digits and inner hyphens, starting with a letter, 31 at most"
        found.append(_wrong("stack_name", expected, name, "Set stack_name, for example `shop`."))
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", str(values.get("stack_database") or "")):
        expected = "an SQL name of lower-case letters, digits and underscores"
        found.append(_wrong("stack_database", expected, values.get("stack_database"), "Use for example `shop`."))
    aliases = values.get("stack_domain_aliases") or []
    if not isinstance(aliases, list):
        found.append(_wrong("stack_domain_aliases", "a list of host names", aliases, "Write it as a YAML list."))
        aliases = []
    label = r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)"
    for variable, host in [
        ("stack_domain", values.get("stack_domain")),
        *(("stack_domain_aliases", a) for a in aliases),
    ]:
        if not host:
            found.append(_wrong(variable, "the host name of the site", host, f"Set {variable}: shop.example.com"))
        elif is_address(host):
            continue
        elif not isinstance(host, str) or len(host) > 253 or not re.fullmatch(rf"(\*\.)?{label}(\.{label})*", host):
            fix = "Leave out scheme, port and path; write international names in their xn-- form."
            found.append(_wrong(variable, "a host name", host, fix))
    return found


def _source_problems(values: Values) -> list[Problem]:
    source = values.get("stack_source", ".")
    if isinstance(source, str) and source:
        return []
    if isinstance(source, dict) and isinstance(source.get("repo"), str) and set(source) <= {"repo", "version"}:
        return []
    fix = "Write for example stack_source: ./shop, or stack_source: {repo: 'git@host:shop.git', version: main}"
    return [_wrong("stack_source", "a path, or a mapping with repo and version", source, fix)]


def _choice_problems(values: Values) -> list[Problem]:
    choices = {"stack_environment": ("production", "development"), "stack_tls_provider": ("self_signed", "provided")}
    return [
        _wrong(variable, f"one of {', '.join(allowed)}", values.get(variable), f"Set {variable}: {allowed[0]}")
        for variable, allowed in choices.items()
        if values.get(variable) not in allowed
    ]


def _port_problems(values: Values) -> list[Problem]:
    found = []
    ports = {name: values.get(name) for name in ("stack_http_port", "stack_https_port")}
    for variable, port in ports.items():
        if not re.fullmatch(r"\d{1,5}", str(port)) or not 0 < int(port or 0) < 65536:
            found.append(_wrong(variable, "a TCP port from 1 to 65535", port, f"Set for example {variable}: 8443"))
    if len({str(port) for port in ports.values()}) == 1:
        found.append(
            _wrong("stack_https_port", "another port than stack_http_port", ports["stack_https_port"], "Change one.")
        )
    return found


def _service_problems(name: str, settings: t.Any) -> list[Problem]:
    where = f"stack_services.{name}"
    if name not in PRESET:
        near = difflib.get_close_matches(str(name), PRESET, n=1)
        fix = f"Did you mean `{near[0]}`?" if near else "Remove it, or bring it in a Compose file of your own."
        return [Problem(where, f"a service out of {', '.join(PRESET)}", f"`{name}`", fix)]
    if not isinstance(settings, dict):
        return [_wrong(where, "a mapping of settings", settings, f"Write for example {where}: {{replicas: 2}}")]
    known = [key for key in (*_COMMON, *PRESET[name]) if key not in _FIXED]
    found = []
    for key, value in settings.items():
        variable = f"{where}.{key}"
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            fix = f"Did you mean `{near[0]}`?" if near else f"Known settings: {', '.join(sorted(known))}."
            found.append(Problem(variable, "a known setting", f"`{key}`", fix))
        else:
            found += _setting_problems(name, key, variable, value)
    return found or _reservation_problems(where, {**PRESET[name], **settings}, settings)


def _reservation_problems(where: str, complete: Values, stated: Values) -> list[Problem]:
    found = []
    for key, amount in (("memory", size), ("cpus", float)):
        reserved, limit = complete[f"{key}_reserved"], complete[key]
        if f"{key}_reserved" in stated and amount(reserved) > amount(limit):
            expected, fix = f"at most `{key}`, which is {limit}", f"Lower it, or raise {where}.{key}."
            found.append(_wrong(f"{where}.{key}_reserved", expected, reserved, fix))
    return found


def _setting_problems(service: str, key: str, variable: str, value: t.Any) -> list[Problem]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_count = isinstance(value, int) and not isinstance(value, bool)
    match key:
        case "enabled" if not isinstance(value, bool):
            return [_wrong(variable, "true or false", value, "Write it without quotes.")]
        case "replicas" if not is_count or not 1 <= value <= 100:
            return [_wrong(variable, "a whole number from 1 to 100", value, "Use `enabled: false` for none.")]
        case "replicas" if service in _SINGLE and value != 1:
            return [_wrong(variable, "1: this service holds state or ports", value, "Remove the setting.")]
        case "pids" if not is_count or value < 10:
            return [_wrong(variable, "a whole number of at least 10", value, "Write for example 200.")]
        case "cpus" | "cpus_reserved" if not is_number or value <= 0:
            return [_wrong(variable, "a number of cores above 0", value, "Write for example 0.5, without quotes.")]
        case "memory" | "memory_reserved" if not re.fullmatch(r"\d+(\.\d+)?[kKmMgG][bB]?", str(value)):
            return [_wrong(variable, "a size with its unit (K, M or G)", value, f"Write for example {value}M.")]
        case "stop_grace_period" if not re.fullmatch(r"(\d+[hms])+", str(value)):
            return [_wrong(variable, "a duration with its unit", value, "Write for example 30s.")]
        case "command" if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            return [_wrong(variable, "a list of strings", value, 'Write for example ["uvicorn", "app.main:app"].')]
        case "environment":
            return _environment_problems(variable, value)
        case "health_path" if not re.fullmatch(r"/[\w./~%-]*", str(value), re.ASCII):
            return [_wrong(variable, "an absolute URL path", value, "Write for example /health, other letters as %XX.")]
        case "path" | "output" if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
            return [_wrong(variable, "a path inside the source tree", value, "Write for example apps/backend.")]
        case "output" if not re.fullmatch(r"[\w.@+~/-]+", value):
            return [_wrong(variable, "a path without spaces and special characters", value, "Write for example dist.")]
        case "app" if not re.fullmatch(r"[\w.]+(:\w+)?", str(value)):
            return [_wrong(variable, "the import path of the Celery app", value, "Write for example app.tasks.")]
    return []


def _environment_problems(variable: str, value: t.Any) -> list[Problem]:
    if not isinstance(value, dict):
        return [_wrong(variable, "a mapping of names to values", value, "Write it as a YAML mapping.")]
    found = []
    for name, content in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[^\s=]+", name):
            fix = "Write it in quotes, without spaces and equals signs."
            found.append(_wrong(f"{variable}.{name}", "a name that is a string", name, fix))
        elif re.search(r"(PASSWORD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY)$", str(name), re.IGNORECASE):
            fix = (
                f"Put it into stack_secrets as {str(name).lower()}; the service reads /run/secrets/{str(name).lower()}."
            )
            found.append(Problem(f"{variable}.{name}", "no secret in the environment", "a name that says secret", fix))
        elif not isinstance(content, (str, int, float, bool)):
            found.append(_wrong(f"{variable}.{name}", "a plain value", content, "Quote it as a string."))
    return found


def _secret_problems(secrets: t.Any) -> list[Problem]:
    if not isinstance(secrets, dict):
        return [Problem("stack_secrets", "a mapping of name to value", f"a {_type_name(secrets)}", "See the README.")]
    found = []
    for name, value in secrets.items():
        variable = f"stack_secrets.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)):
            found.append(Problem(variable, "a name of lower-case letters, digits, _", f"`{name}`", "Rename it."))
        elif not isinstance(value, str):
            found.append(Problem(variable, "a string", f"a {_type_name(value)}", "Quote the value."))
        elif is_placeholder(value):
            fix = "Remove the line (a good one is then generated on the host), or put a real secret into your vault."
            expected = f"a real secret of {SHORTEST_SECRET} characters or more"
            shown = "a placeholder" if forgotten(value) else f"{len(value)} characters"
            found.append(Problem(variable, expected, shown, fix))
        elif name in GENERATED_SECRETS and re.search(r'[\n\0"\\]', value):
            found.append(Problem(variable, "one line without quotes and backslashes", "such a character", "Change it."))
    return found


def _wrong(variable: str, expected: str, found: t.Any, fix: str) -> Problem:
    shown = "nothing" if found is None or found == "" else f"`{found}` ({_type_name(found)})"
    return Problem(variable, expected, shown, fix)


def _type_name(value: t.Any) -> str:
    # Ansible hands over subclasses of the built-in types.
    names = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)
