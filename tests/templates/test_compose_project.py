# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the project of every declaration, and what the odd ones become."""

from __future__ import annotations

import base64
import functools
import itertools
import re
import typing as t

import pytest
import yaml
from declarations import DECLARATIONS, FULL, ODD_VALUES, SERVICES, Declaration
from rendering import Rendered

Render = t.Callable[[Declaration], Rendered]
HARDENING: dict[str, t.Any] = {
    "init": True,
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "restart": "unless-stopped",
    "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
}
LOOSENING = {"cap_add", "privileged", "network_mode", "pid", "ipc", "devices", "userns_mode", "env_file", "extra_hosts"}
NETWORKS = {
    "db": {"data"},
    "redis": {"data"},
    "backend": {"edge", "data"},
    "worker": {"edge", "data"},
    "frontend": {"edge"},
    "nginx": {"edge"},
}


class StrictLoader(yaml.SafeLoader):
    """YAML as Compose reads it: a key may be there only once and has to be a string."""


def construct_mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[str, t.Any]:
    """Return a mapping, or raise for a key Compose would not take."""
    keys = [loader.construct_object(key) for key, _value in node.value]
    assert all(isinstance(key, str) for key in keys), keys
    assert len(keys) == len(set(keys)), keys
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, construct_mapping)


@functools.cache
def project_of(rendered: Rendered) -> dict[str, t.Any]:
    """Return the Compose file, read."""
    project: dict[str, t.Any] = yaml.load(rendered.project["compose.yaml"], StrictLoader)
    return project


def interpolated(text: str) -> str:
    """Return what Compose makes of a string in which no variable is meant."""
    assert "$" not in text.replace("$$", ""), f"Compose would look for a variable in {text!r}"
    return text.replace("$$", "$")


def strings_of(value: t.Any) -> t.Iterator[str]:
    """Return every string in a tree, keys included."""
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(strings_of(item) for pair in value.items() for item in pair)
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(strings_of, value))
    elif isinstance(value, str):
        yield value


def as_stated(value: t.Any) -> str:
    """Return a value of the inventory as the text that a user wrote."""
    return str(value).lower() if isinstance(value, bool) else str(value)


# What holds for every declaration


def test_project_is_the_one_declared(rendered: Rendered) -> None:
    project = project_of(rendered)
    assert set(project) <= {"name", "services", "networks", "volumes", "secrets"}
    assert project["name"] == rendered.declaration.variables.get("stack_name", "app")
    stated = rendered.declaration.variables.get("stack_services", {})
    assert set(project["services"]) == {name for name in SERVICES if stated.get(name, {}).get("enabled", True)}


def test_every_service_is_confined(rendered: Rendered) -> None:
    for name, service in project_of(rendered)["services"].items():
        assert {key: service[key] for key in HARDENING} == HARDENING, name
        assert not LOOSENING & set(service), name
        user, group = (int(number) for number in service["user"].split(":"))
        assert min(user, group) > 0, name
        assert all(re.search(r":size=\d+m,", mount) for mount in service["tmpfs"]), name
        assert service["stop_grace_period"], name


def test_every_service_has_limits_above_its_reservations(rendered: Rendered) -> None:
    for name, service in project_of(rendered)["services"].items():
        resources = service["deploy"]["resources"]
        limits, reservations = resources["limits"], resources["reservations"]
        assert set(limits) == {"cpus", "memory", "pids"}, name
        assert set(reservations) == {"cpus", "memory"}, name
        assert float(limits["cpus"]) >= float(reservations["cpus"]) > 0, name
        stated = rendered.model["services"][name]
        assert limits["memory"] == stated["memory"], name
        assert limits["pids"] == stated["pids"], name
        assert service["deploy"]["replicas"] == stated["replicas"] >= 1, name


def test_every_service_has_a_healthcheck_that_looks_often_while_it_starts(rendered: Rendered) -> None:
    for name, service in project_of(rendered)["services"].items():
        check = service["healthcheck"]
        assert set(check) == {"test", "interval", "timeout", "retries", "start_period", "start_interval"}, name
        assert check["test"][0] in ("CMD", "CMD-SHELL"), name
        assert all(isinstance(word, str) for word in check["test"]), name
        assert seconds(check["start_interval"]) < seconds(check["interval"]), name
        assert seconds(check["start_period"]) >= 10, name


def test_only_the_edge_is_published_and_the_data_network_leads_nowhere(rendered: Rendered) -> None:
    project = project_of(rendered)
    for name, service in project["services"].items():
        assert set(service["networks"]) == NETWORKS[name], name
        assert ("ports" in service) is (name == "nginx"), name
    assert all(
        network == ({"internal": True} if name == "data" else {}) for name, network in project["networks"].items()
    )
    if "nginx" in project["services"]:
        model = rendered.model
        published = [f"{model['http_port']}:8080", f"{model['https_port']}:8443"]
        assert project["services"]["nginx"]["ports"] == published


def test_every_image_is_pinned_and_built_with_what_the_stack_has(rendered: Rendered) -> None:
    for name, service in project_of(rendered)["services"].items():
        build = service.get("build", {})
        assert bool(build) is (name in ("backend", "worker", "frontend")), name
        references = build["args"].values() if build else [service["image"]]
        assert all(re.fullmatch(r"shipshape/\w+:trixie-[0-9a-f]{12}", reference) for reference in references), name
        # Without a target, an own Dockerfile is built to its end.
        file = build.get("dockerfile", "Dockerfile").rpartition("/project/")[2]
        if build and file != "Dockerfile":
            assert file in rendered.dockerfiles, name
            assert f"AS {build['target']}\n" in rendered.dockerfiles[file], name
            assert f"{file}.dockerignore" in rendered.project, name


def test_what_is_declared_is_used_and_what_is_used_is_declared(rendered: Rendered) -> None:
    project = project_of(rendered)
    services = project["services"].values()
    used = {
        "networks": {network for service in services for network in service["networks"]},
        "volumes": {
            mount.split(":")[0] for service in services for mount in service.get("volumes", []) if mount[0] != "/"
        },
        "secrets": {
            *(secret["source"] for service in services for secret in service.get("secrets", [])),
            *(secret for service in services for secret in service.get("build", {}).get("secrets", [])),
        },
    }
    assert {kind: set(project.get(kind, {})) for kind in used} == used
    assert all(project.get(kind, True) for kind in used), "an empty section"
    for service in services:
        for other, how in service.get("depends_on", {}).items():
            assert "healthcheck" in project["services"][other]
            assert how == {"condition": "service_healthy"}


def test_secrets_are_files_of_their_own_service_and_nowhere_else(rendered: Rendered) -> None:
    project = project_of(rendered)
    root = rendered.model["root"]
    for name, service in project["services"].items():
        mounted = {secret["target"]: secret["source"] for secret in service.get("secrets", [])}
        assert set(mounted) == set(rendered.model["secrets"].get(name, {"files": {}})["files"]), name
        files = {target: interpolated(project["secrets"][source]["file"]) for target, source in mounted.items()}
        assert files == {target: f"{root}/secrets/{name}/{target}" for target in mounted}, name
        for value in service.get("environment", {}).values():
            if value.startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in mounted, name
    stated = rendered.declaration.variables.get("stack_secrets", {}).values()
    everything = "\n".join([*rendered.project.values(), *rendered.edge.values()])
    assert not [secret for secret in stated if secret in everything]


def test_nothing_is_left_for_compose_to_fill_in(rendered: Rendered) -> None:
    for text in strings_of(project_of(rendered)):
        interpolated(text)


def test_environment_is_what_was_stated(rendered: Rendered) -> None:
    for name, service in project_of(rendered)["services"].items():
        stated = rendered.model["services"][name]["environment"]
        found = {key: interpolated(value) for key, value in service.get("environment", {}).items()}
        assert {key: found.get(key) for key in stated} == {key: as_stated(value) for key, value in stated.items()}, name


def test_paths_are_what_was_stated(rendered: Rendered) -> None:
    model = rendered.model
    for name, service in project_of(rendered)["services"].items():
        if "build" in service:
            path = rendered.declaration.part_path("frontend" if name == "frontend" else "backend")
            local = rendered.declaration.variables.get("ansible_connection") == "local"
            source = model["source"]["path"] if local else f"{model['root']}/source"
            assert interpolated(service["build"]["context"]) == f"{source}/{path}", name
            file = interpolated(service["build"]["dockerfile"])
            assert file == "Dockerfile" or file.startswith(f"{model['root']}/project/"), name
        for mount in service.get("volumes", []):
            assert mount[0] != "/" or interpolated(mount).startswith(f"{model['root']}/"), name


def test_dockerfiles_end_as_a_user_of_their_own_and_name_no_latest(rendered: Rendered) -> None:
    for name, text in rendered.dockerfiles.items():
        users = re.findall(r"^USER (.*)$", text, re.MULTILINE)
        assert users == [{"backend.Dockerfile": "10001:10001", "frontend.Dockerfile": "101:101"}[name]]
        assert ":latest" not in text
        bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
        stages = set(re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE))
        assert bases - stages <= {"${PYTHON_IMAGE}", "${NODE_IMAGE}", "${NGINX_IMAGE}"}
        assert {"development", "test", "production"} <= stages


def test_summary_says_where_the_site_is(rendered: Rendered) -> None:
    model, (first, *rest) = rendered.model, rendered.summary
    if "nginx" in model["services"]:
        port = "" if model["https_port"] == 443 else f":{model['https_port']}"
        host = f"[{model['domain']}]" if ":" in model["domain"] else model["domain"]
        assert first == f"https://{host}{port}"
        first, *rest = rest
    assert first == f"release 20260102T030405Z-0123abcd in {model['root']}/current"
    assert rest == [
        "backend    healthy    1.0 cpu   512 MiB  app:1",
        "helper     exited     0.5 cpu    64 MiB  helper:1",
    ]


# What single ones become


def test_every_setting_of_the_full_declaration_is_found_again(render: Render) -> None:
    rendered = render(FULL)
    services = project_of(rendered)["services"]
    for name, stated in FULL.variables["stack_services"].items():
        service = services[name]
        resources = service["deploy"]["resources"]
        assert service["deploy"]["replicas"] == stated["replicas"]
        assert float(resources["limits"]["cpus"]) == stated["cpus"]
        assert float(resources["reservations"]["cpus"]) == stated["cpus_reserved"]
        assert resources["limits"]["memory"] == stated["memory"]
        assert resources["limits"]["pids"] == stated["pids"]
        assert resources["reservations"]["memory"] == stated["memory_reserved"]
        assert service["stop_grace_period"] == stated["stop_grace_period"]
        if "command" in stated:
            assert [interpolated(word) for word in service["command"]] == stated["command"]
    assert "http://127.0.0.1:8000/health/ready%20now/~x.y-z" in services["backend"]["healthcheck"]["test"][-1]
    assert "celery -A jobs:app inspect ping" in services["worker"]["healthcheck"]["test"][-1]
    assert "shop_production" in services["db"]["healthcheck"]["test"]
    assert services["db"]["environment"]["POSTGRES_DB"] == "shop_production"
    dockerfile = rendered.dockerfiles["frontend.Dockerfile"]
    assert "ARG VITE_API_URL=https://shop.example.com/v1.0\n" in dockerfile
    assert "/app/build/client" in dockerfile
    assert project_of(rendered)["secrets"]["ca_bundle"]["file"] == "/etc/ssl/company.pem"


def test_values_with_a_meaning_to_jinja_yaml_or_compose_are_among_the_stated(render: Render) -> None:
    stated = render(FULL).model["services"]["backend"]["environment"]
    assert stated == {**ODD_VALUES, "JINJA": "{{ x }} {% y %}"}


def test_init_scripts_arrive_byte_for_byte(render: Render) -> None:
    rendered = render(FULL)
    found = {name.removeprefix("initdb/"): base64.b64decode(text) for name, text in rendered.binary.items()}
    assert found == FULL.scripts
    assert (
        "/opt/shop/project/initdb:/docker-entrypoint-initdb.d:ro" in project_of(rendered)["services"]["db"]["volumes"]
    )


def test_ignore_file_of_the_repository_has_the_last_word(render: Render) -> None:
    [ignoring] = [declaration for declaration in DECLARATIONS if declaration.backend == "ignoring"]
    ignored = render(ignoring).project["backend.Dockerfile.dockerignore"]
    assert ignored.endswith("\n# Ours: {{ x }} ü\nprivate\n")


@pytest.mark.parametrize("replicas", [0, -1, 101, "2", True, 1.5])
def test_replicas_that_are_no_number_of_containers_are_refused(render: Render, replicas: t.Any) -> None:
    declaration = Declaration("replicas", {"stack_services": {"backend": {"replicas": replicas}}})
    with pytest.raises(Exception, match=r"stack_services\.backend\.replicas: expected a whole number from 1 to 100"):
        render(declaration)


def seconds(duration: str) -> int:
    """Return what `10s` says."""
    assert duration.endswith("s")
    return int(duration[:-1])
