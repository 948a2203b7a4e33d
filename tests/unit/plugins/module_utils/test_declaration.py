# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declaration: what is wrong with it, and what it is completed to."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.plugins.module_utils import _declaration
from ansible_collections.shipshape.stack.plugins.module_utils._declaration import Problem

VALID: dict[str, t.Any] = {
    "stack_name": "shop",
    "stack_domain": "shop.example.com",
    "stack_domain_aliases": ["www.example.com"],
    "stack_environment": "production",
    "stack_tls_provider": "self_signed",
    "stack_services": {},
    "stack_secrets": {},
    "stack_http_port": 80,
    "stack_https_port": 443,
    "stack_root": "/srv/shop",
    "stack_user": "shop",
    "stack_database": "shop",
}
GOOD_SECRET = "uQ7-vd2Lk0_pXz91"

BAD: list[tuple[str, dict[str, t.Any], str, str]] = [
    ("source number", {"stack_source": 7}, "stack_source", "`7` (int)"),
    ("source without repo", {"stack_source": {"version": "main"}}, "stack_source", "(dict)"),
    ("name with a hyphen at its end", {"stack_name": "shop-"}, "stack_name", "`shop-` (str)"),
    ("name missing", {"stack_name": ""}, "stack_name", "nothing"),
    ("name with capitals", {"stack_name": "Shop"}, "stack_name", "`Shop`"),
    ("name with an underscore", {"stack_name": "my_shop"}, "stack_name", "`my_shop`"),
    ("name too long", {"stack_name": "s" * 32}, "stack_name", "s" * 32),
    ("name that is a number", {"stack_name": 7}, "stack_name", "`7` (int)"),
    ("database with a hyphen", {"stack_database": "my-shop"}, "stack_database", "`my-shop`"),
    ("database missing", {"stack_database": None}, "stack_database", "nothing"),
    ("domain missing", {"stack_domain": ""}, "stack_domain", "nothing"),
    ("domain with a scheme", {"stack_domain": "https://shop.example.com"}, "stack_domain", "`https://"),
    ("domain with a port", {"stack_domain": "shop.example.com:8443"}, "stack_domain", ":8443"),
    ("domain that is a number", {"stack_domain": 12}, "stack_domain", "`12` (int)"),
    ("domain of 254 characters", {"stack_domain": ".".join(["a" * 63] * 4)[:254] + "a"}, "stack_domain", "aaa"),
    ("alias with a path", {"stack_domain_aliases": ["example.com/x"]}, "stack_domain_aliases", "example.com/x"),
    ("aliases as a string", {"stack_domain_aliases": "www.example.com"}, "stack_domain_aliases", "(str)"),
    ("environment unknown", {"stack_environment": "staging"}, "stack_environment", "`staging`"),
    ("certificate provider unknown", {"stack_tls_provider": "letsencrypt"}, "stack_tls_provider", "`letsencrypt`"),
    ("port 0", {"stack_http_port": 0}, "stack_http_port", "`0`"),
    ("port above 65535", {"stack_https_port": 65536}, "stack_https_port", "`65536`"),
    ("port that is a word", {"stack_https_port": "https"}, "stack_https_port", "`https`"),
    ("port that is a truth value", {"stack_http_port": True}, "stack_http_port", "(bool)"),
    ("the same port twice", {"stack_http_port": 8443, "stack_https_port": "8443"}, "stack_https_port", "`8443`"),
    ("root that is relative", {"stack_root": "srv/shop"}, "stack_root", "`srv/shop`"),
    ("root with a colon, which separates the parts of a mount", {"stack_root": "/srv/a:b"}, "stack_root", "/srv/a:b"),
    ("alias that is no address", {"stack_domain_aliases": ["2001:db8::x"]}, "stack_domain_aliases", "2001:db8::x"),
    ("address with a prefix", {"stack_domain_aliases": ["10.0.0.0/8"]}, "stack_domain_aliases", "10.0.0.0/8"),
    (
        "nothing enabled",
        {"stack_services": {name: {"enabled": False} for name in _declaration.PRESET}},
        "stack_services",
        "all of them disabled",
    ),
    ("services as a list", {"stack_services": ["backend"]}, "stack_services", "(list)"),
    ("secrets as a list", {"stack_secrets": ["x"]}, "stack_secrets", "list"),
]
BAD_SETTINGS: list[tuple[str, dict[str, t.Any], str, str]] = [
    ("unknown service", {"backnd": {}}, "backnd", "Did you mean `backend`"),
    ("service without settings", {"backend": None}, "backend", "a mapping"),
    ("unknown setting", {"backend": {"replica": 2}}, "backend.replica", "Did you mean `replicas`"),
    ("setting that is fixed", {"backend": {"uid": 0}}, "backend.uid", "known setting"),
    ("enabled as a word", {"worker": {"enabled": "no"}}, "worker.enabled", "without quotes"),
    ("no replicas", {"backend": {"replicas": 0}}, "backend.replicas", "enabled: false"),
    ("replicas as a string", {"backend": {"replicas": "2"}}, "backend.replicas", "(str)"),
    ("replicas of a stateful service", {"db": {"replicas": 2}}, "db.replicas", "holds state"),
    ("too few processes", {"backend": {"pids": 1}}, "backend.pids", "at least 10"),
    ("cores as a string", {"backend": {"cpus": "0.5"}}, "backend.cpus", "without quotes"),
    ("no cores", {"backend": {"cpus": 0}}, "backend.cpus", "above 0"),
    ("memory without a unit", {"backend": {"memory": 512}}, "backend.memory", "Write for example 512M"),
    ("memory as words", {"backend": {"memory": "half a gig"}}, "backend.memory", "with its unit"),
    (
        "more memory reserved than allowed",
        {"backend": {"memory": "64M", "memory_reserved": "128M"}},
        "backend.memory_reserved",
        "at most `memory`, which is 64M",
    ),
    (
        "more memory reserved than the preset allows",
        {"redis": {"memory_reserved": "1G"}},
        "redis.memory_reserved",
        "256M",
    ),
    ("more cores reserved than allowed", {"db": {"cpus_reserved": 1.5}}, "db.cpus_reserved", "at most `cpus`"),
    ("grace period without a unit", {"backend": {"stop_grace_period": 30}}, "backend.stop_grace_period", "30s"),
    ("command as a string", {"backend": {"command": "uvicorn app"}}, "backend.command", "list of strings"),
    ("command with a number", {"backend": {"command": ["run", 8000]}}, "backend.command", "list of strings"),
    ("environment as a list", {"backend": {"environment": ["A=1"]}}, "backend.environment", "mapping"),
    ("environment with a mapping", {"backend": {"environment": {"A": {}}}}, "backend.environment.A", "plain value"),
    (
        "environment with a name YAML read as a truth value",
        {"backend": {"environment": {True: "x"}}},
        "backend.environment.True",
        "(bool)",
    ),
    ("environment with a number for a name", {"backend": {"environment": {7: "x"}}}, "backend.environment.7", "(int)"),
    (
        "environment with a name of two words",
        {"backend": {"environment": {"A B": "x"}}},
        "backend.environment.A B",
        "`A B`",
    ),
    ("environment with an equals sign", {"backend": {"environment": {"A=B": "x"}}}, "backend.environment.A=B", "`A=B`"),
    (
        "secret in the environment",
        {"backend": {"environment": {"STRIPE_API_KEY": "sk"}}},
        "backend.environment.STRIPE_API_KEY",
        "/run/secrets/stripe_api_key",
    ),
    ("health path without a slash", {"backend": {"health_path": "health"}}, "backend.health_path", "/health"),
    ("health path no request line can hold", {"backend": {"health_path": "/größe"}}, "backend.health_path", "as %XX"),
    ("output with a space", {"frontend": {"output": "my build"}}, "frontend.output", "without spaces"),
    ("output with a dollar", {"frontend": {"output": "build/$x"}}, "frontend.output", "without spaces"),
    ("path out of the source tree", {"backend": {"path": "../secret"}}, "backend.path", "inside the source"),
    ("absolute path", {"frontend": {"path": "/srv/app"}}, "frontend.path", "inside the source"),
    ("output out of the source tree", {"frontend": {"output": "../.."}}, "frontend.output", "inside the source"),
    ("app that is no import path", {"worker": {"app": "app/tasks.py"}}, "worker.app", "app.tasks"),
]
BAD_SECRETS: list[tuple[str, dict[str, t.Any], str]] = [
    ("changethis", {"secret_key": "changethis"}, "a placeholder"),
    ("placeholder in brackets", {"secret_key": "<Change-Me>"}, "a placeholder"),
    ("short", {"postgres_password": "1234567"}, "7 characters"),
    ("empty", {"redis_password": ""}, "0 characters"),
    ("number", {"postgres_password": 12345678}, "a int"),
    ("quote inside", {"redis_password": 'abc"defghi'}, "such a character"),
    ("two lines", {"secret_key": "abcdefgh\nijkl"}, "such a character"),
    ("name with capitals", {"Stripe-Key": GOOD_SECRET}, "`Stripe-Key`"),
]


def ids(cases: t.Sequence[tuple[t.Any, ...]]) -> list[str]:
    return [case[0] for case in cases]


def only_problem(values: dict[str, t.Any]) -> Problem:
    found = _declaration.problems(values)
    assert len(found) == 1, found
    problem = found[0]
    assert all((problem.variable, problem.expected, problem.found, problem.fix))
    assert str(problem) == (
        f"{problem.variable}: expected {problem.expected}, found {problem.found}. Fix: {problem.fix}"
    )
    return problem


@pytest.mark.parametrize(("_what", "change", "variable", "shown"), BAD, ids=ids(BAD))
def test_bad_value_is_one_problem_that_names_the_variable_and_what_was_found(
    _what: str, change: dict[str, t.Any], variable: str, shown: str
) -> None:
    problem = only_problem(VALID | change)
    assert problem.variable == variable
    assert shown in problem.found


@pytest.mark.parametrize(("_what", "services", "variable", "shown"), BAD_SETTINGS, ids=ids(BAD_SETTINGS))
def test_bad_setting_is_one_problem_that_names_service_and_setting(
    _what: str, services: dict[str, t.Any], variable: str, shown: str
) -> None:
    problem = only_problem(VALID | {"stack_services": services})
    assert problem.variable == f"stack_services.{variable}"
    assert shown in str(problem)


@pytest.mark.parametrize(("_what", "secrets", "shown"), BAD_SECRETS, ids=ids(BAD_SECRETS))
def test_bad_secret_is_one_problem_that_never_shows_the_value(
    _what: str, secrets: dict[str, t.Any], shown: str
) -> None:
    problem = only_problem(VALID | {"stack_secrets": secrets})
    [(name, value)] = secrets.items()
    assert problem.variable == f"stack_secrets.{name}"
    assert problem.found == shown
    assert not value or str(value) not in str(problem)


def test_all_problems_are_reported_at_once() -> None:
    values = VALID | {
        "stack_name": "Shop",
        "stack_domain": "",
        "stack_services": {"backend": {"memory": 512, "cpus": "1"}, "web": {}},
        "stack_secrets": {"secret_key": "changethis"},
    }
    assert [problem.variable for problem in _declaration.problems(values)] == [
        "stack_name",
        "stack_domain",
        "stack_services.backend.memory",
        "stack_services.backend.cpus",
        "stack_services.web",
        "stack_secrets.secret_key",
    ]


@pytest.mark.parametrize(
    "domain", ["localhost", "shop.example.com", "*.example.com", "xn--bcher-kva.example", "10.0.0.1", "2001:db8::1"]
)
def test_host_names_in_use_are_accepted(domain: str) -> None:
    assert _declaration.problems(VALID | {"stack_domain": domain}) == []


def test_full_valid_declaration_completes(tmp_path: Path) -> None:
    values = VALID | {
        "stack_services": {
            "backend": {"replicas": 2, "cpus": 0.5, "memory": "1G", "environment": {"LOG_LEVEL": "info", "WORKERS": 2}},
            "worker": {"enabled": False},
        },
        "stack_secrets": {"stripe_key": GOOD_SECRET},
    }
    assert _declaration.problems(values) == []
    services = _declaration.services_of(values)
    assert list(services) == ["db", "redis", "backend", "frontend", "nginx"]
    source, lacking = _declaration.inspect_source(str(monorepo(tmp_path)), services)
    assert lacking == []
    model = _declaration.model(values, source)
    assert model["server_names"] == ["shop.example.com", "www.example.com"]
    assert (model["http_port"], model["https_port"]) == (80, 443)
    backend = model["services"]["backend"]
    assert backend["environment"] == {"LOG_LEVEL": "info", "WORKERS": 2}
    assert (backend["replicas"], backend["cpus"], backend["memory"], backend["memory_reserved"]) == (
        2,
        0.5,
        "1G",
        "128M",
    )
    assert (backend["uid"], backend["gid"], backend["port"]) == (10001, 10001, 8000)
    assert model["secrets"]["backend"]["files"] == {
        "secret_key": "${secret_key}",
        "stripe_key": "${stripe_key}",
        "database_url": "postgresql://shop:${postgres_password}@db:5432/shop",
        "postgres_password": "${postgres_password}",
        "redis_url": "redis://:${redis_password}@redis:6379/0",
    }
    assert set(model["secrets"]) == {"db", "redis", "backend"}


def test_model_holds_no_secret(tmp_path: Path) -> None:
    values = VALID | {"stack_secrets": {"postgres_password": GOOD_SECRET, "stripe_key": GOOD_SECRET}}
    source, _lacking = _declaration.inspect_source(str(monorepo(tmp_path)), _declaration.services_of(values))
    assert GOOD_SECRET not in json.dumps(_declaration.model(values, source))


def test_limit_below_the_preset_reservation_lowers_the_reservation() -> None:
    services = _declaration.services_of(VALID | {"stack_services": {"backend": {"memory": "64M", "cpus": 0.05}}})
    assert services["backend"]["memory_reserved"] == "64M"
    assert services["backend"]["cpus_reserved"] == 0.05


def test_worker_runs_the_declared_celery_app() -> None:
    worker = _declaration.services_of(VALID | {"stack_services": {"worker": {"app": "shop.jobs"}}})["worker"]
    assert worker["command"][:4] == ["celery", "-A", "shop.jobs", "worker"]


def test_worker_alone_is_built_from_the_path_of_the_backend(tmp_path: Path) -> None:
    values = VALID | {"stack_services": {"backend": {"enabled": False, "path": "jobs"}, "frontend": {"enabled": False}}}
    services = _declaration.services_of(values)
    assert services["worker"]["path"] == "jobs"
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/uv.lock").touch()
    source, lacking = _declaration.inspect_source(str(tmp_path), services)
    assert (source.backend_manager, lacking) == ("uv", [])


def test_addresses_are_in_the_form_a_browser_asks_for(tmp_path: Path) -> None:
    values = VALID | {"stack_domain": "2001:DB8:0::1", "stack_domain_aliases": ["::0001", "10.0.0.1", "A.example"]}
    model = _declaration.model(values, _declaration.Source(str(tmp_path)))
    assert model["domain"] == "2001:db8::1"
    assert model["server_names"] == ["2001:db8::1", "::1", "10.0.0.1", "A.example"]


def test_own_worker_command_is_kept() -> None:
    worker = _declaration.services_of(VALID | {"stack_services": {"worker": {"command": ["rq", "worker"]}}})["worker"]
    assert worker["command"] == ["rq", "worker"]


@pytest.mark.parametrize(
    ("lock", "manager", "manifest"),
    [
        ("uv.lock", "uv", "pyproject.toml"),
        ("poetry.lock", "poetry", "pyproject.toml"),
        ("requirements.txt", "pip", "requirements.txt"),
        ("pyproject.toml", "pip", "pyproject.toml"),
    ],
)
def test_python_package_manager_is_known_by_its_lock_file(
    tmp_path: Path, lock: str, manager: str, manifest: str
) -> None:
    source, lacking = _declaration.inspect_source(
        str(monorepo(tmp_path, backend=lock)), _declaration.services_of(VALID)
    )
    assert lacking == []
    assert (source.backend_manager, source.backend_manifest) == (manager, manifest)


@pytest.mark.parametrize(
    ("lock", "pinned", "tool"),
    [
        ("pnpm-lock.yaml", "pnpm@10.4.1+sha512.abc", "pnpm@10.4.1"),
        ("pnpm-lock.yaml", "", "pnpm@10"),
        ("yarn.lock", "pnpm@10.4.1", "yarn@1"),
        ("package-lock.json", "", "npm"),
    ],
)
def test_node_package_manager_and_its_version_come_from_the_repository(
    tmp_path: Path, lock: str, pinned: str, tool: str
) -> None:
    root = monorepo(tmp_path, frontend=lock, package={"packageManager": pinned} if pinned else {})
    source, lacking = _declaration.inspect_source(str(root), _declaration.services_of(VALID))
    assert lacking == []
    assert source.frontend_tool == tool


def test_own_dockerfile_is_used_and_needs_no_lock_file(tmp_path: Path) -> None:
    root = monorepo(tmp_path, backend="Dockerfile")
    source, lacking = _declaration.inspect_source(str(root), _declaration.services_of(VALID))
    assert lacking == []
    assert source.backend_dockerfile == str(root / "apps/backend/Dockerfile")
    assert source.backend_manager == ""


def test_init_scripts_are_found_in_order(tmp_path: Path) -> None:
    root = monorepo(tmp_path)
    (root / "scripts").mkdir()
    for name in ("init-db-2.sh", "init-db-1.sql", "other.sql"):
        (root / "scripts" / name).touch()
    source, _lacking = _declaration.inspect_source(str(root), _declaration.services_of(VALID))
    assert source.init_scripts == (str(root / "scripts/init-db-1.sql"), str(root / "scripts/init-db-2.sh"))


def test_missing_source_is_named(tmp_path: Path) -> None:
    _source, [problem] = _declaration.inspect_source(str(tmp_path / "nowhere"), _declaration.services_of(VALID))
    assert problem.variable == "stack_source"
    assert str(tmp_path / "nowhere") in problem.found


def test_part_without_lock_file_is_named(tmp_path: Path) -> None:
    root = monorepo(tmp_path)
    (root / "apps/backend/uv.lock").unlink()
    _source, [problem] = _declaration.inspect_source(str(root), _declaration.services_of(VALID))
    assert problem.variable == "stack_services.backend.path"
    assert "uv.lock" in problem.expected


def test_missing_part_is_named(tmp_path: Path) -> None:
    services = _declaration.services_of(VALID | {"stack_services": {"frontend": {"path": "web"}}})
    _source, [problem] = _declaration.inspect_source(str(monorepo(tmp_path)), services)
    assert (problem.variable, problem.found) == ("stack_services.frontend.path", "no such directory")


@pytest.mark.parametrize("broken", ["absent", "{"])
def test_unreadable_package_json_is_a_problem(tmp_path: Path, broken: str) -> None:
    root = monorepo(tmp_path)
    manifest = root / "apps/frontend/package.json"
    manifest.unlink()
    if broken != "absent":
        manifest.write_text(broken)
    _source, [problem] = _declaration.inspect_source(str(root), _declaration.services_of(VALID))
    assert problem.variable == "stack_services.frontend.path"
    assert "package.json" in problem.expected


@pytest.mark.parametrize("value", ["changethis", "CHANGE_ME", "<secret>", "${password}", "change-this-please", "short"])
def test_forgotten_secrets_are_placeholders(value: str) -> None:
    assert _declaration.is_placeholder(value)


def test_real_secret_is_no_placeholder() -> None:
    assert not _declaration.is_placeholder(GOOD_SECRET)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512M", 512 * 1024**2), ("1gb", 1024**3), ("0.5G", 512 * 1024**2), ("100", 100), (None, 0), ("many", 0)],
)
def test_compose_sizes_are_bytes(text: str | None, expected: int) -> None:
    assert _declaration.size(text) == expected


def monorepo(
    root: Path, *, backend: str = "uv.lock", frontend: str = "pnpm-lock.yaml", package: dict[str, str] | None = None
) -> Path:
    """Make a source tree with one file that tells the package manager of each part."""
    for part, name in (("backend", backend), ("frontend", frontend)):
        directory = root / "apps" / part
        directory.mkdir(parents=True)
        (directory / name).touch()
    (root / "apps/frontend/package.json").write_text(json.dumps(package or {}))
    return root
