# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of `playbooks/site.yml` on the running demo of this machine (`./run demo`)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from playbook import REPOSITORY, Outcome, run_playbook

INVENTORY = REPOSITORY / "inventory" / "local"
MONOREPO = REPOSITORY / "examples" / "monorepo"
ROOT = Path("/srv/shop")
SITE = "https://localhost:8443"

# Capabilities a container has beyond none, with the reason. None is needed.
CAPABILITY_EXCEPTIONS: dict[str, set[str]] = {}


def site(*options: str, playbook: str = "site", **variables: t.Any) -> Outcome:
    """Run a playbook on the local inventory with extra variables."""
    return run_playbook(REPOSITORY / "playbooks" / f"{playbook}.yml", INVENTORY, options=options, extra_vars=variables)


def get(path: str) -> tuple[int, str]:
    """GET over https, verified against the stack's own CA."""
    trust = ssl.create_default_context(cafile=str(ROOT / "tls" / "ca" / "ca.pem"))
    try:
        with urllib.request.urlopen(SITE + path, context=trust, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def engine() -> docker.DockerClient:
    return docker.from_env()


def stack_containers(engine: docker.DockerClient) -> dict[str, Container]:
    found = engine.containers.list(filters={"label": "com.docker.compose.project=shop"})
    return {item.labels["com.docker.compose.service"]: item for item in found}


@pytest.fixture(scope="module")
def containers(engine: docker.DockerClient) -> dict[str, Container]:
    return stack_containers(engine)


def test_second_run_changes_nothing() -> None:
    outcome = site()
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 0
    assert outcome.counter("failed") == 0
    # One look was enough: none of the steps of a deploy was played.
    assert "Look whether there is something to deploy" in outcome.output
    assert "Build the images whose content changed" not in outcome.output
    assert f"release {(ROOT / 'current').resolve().name}" in outcome.output


def test_check_mode_of_the_converged_stack_changes_nothing() -> None:
    outcome = site("--check", "--diff")
    assert outcome.returncode == 0
    assert outcome.counter("changed") == 0


def test_page_and_api_are_served_over_verified_https() -> None:
    status, page = get("/")
    assert status == 200
    assert "<!doctype html>" in page.lower()
    assert get("/api/health/ready")[0] == 200
    assert isinstance(json.loads(get("/api/items")[1]), list)


def test_http_redirects_to_https() -> None:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: t.Any) -> None:
            return None

    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.build_opener(Stay).open("http://localhost:8080/items?x=1", timeout=10)
    assert answer.value.code in (301, 308)
    assert answer.value.headers["Location"] == f"{SITE}/items?x=1"


def test_all_services_run_and_are_healthy(containers: dict[str, Container]) -> None:
    assert set(containers) == {"db", "redis", "backend", "worker", "frontend", "nginx"}
    for name, container in containers.items():
        assert container.attrs["State"]["Health"]["Status"] == "healthy", name


def test_every_container_is_confined(containers: dict[str, Container]) -> None:
    for name, container in containers.items():
        host = container.attrs["HostConfig"]
        assert container.attrs["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert host["ReadonlyRootfs"] is True, name
        assert host["CapDrop"] == ["ALL"], name
        assert set(host["CapAdd"] or []) == CAPABILITY_EXCEPTIONS.get(name, set()), name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Privileged"] is False, name
        assert host["Init"] is True, name
        assert host["NanoCpus"] > 0, name
        assert host["Memory"] > 0, name
        assert host["MemoryReservation"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}, name
        assert container.attrs["Config"]["Healthcheck"]["StartInterval"] > 0, name
        processes = container.top(ps_args="-eo pid,uid,comm")["Processes"]
        assert all(uid != "0" for _pid, uid, _command in processes), (name, processes)


def test_no_secret_in_environment_command_or_labels(containers: dict[str, Container]) -> None:
    secrets = [path.read_text() for path in (ROOT / "secrets" / "values").iterdir()]
    assert len(secrets) >= 3
    for name, container in containers.items():
        inspected = json.dumps(container.attrs)
        for secret in secrets:
            assert secret not in inspected, name


def test_database_and_redis_publish_nothing_and_the_data_network_is_internal(
    engine: docker.DockerClient, containers: dict[str, Container]
) -> None:
    for name in ("db", "redis"):
        assert not containers[name].attrs["HostConfig"]["PortBindings"], name
        assert list(containers[name].attrs["NetworkSettings"]["Networks"]) == ["shop_data"], name
    assert engine.networks.get("shop_data").attrs["Internal"] is True


def test_secrets_are_unreadable_for_other_users() -> None:
    for path in (ROOT / "secrets").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (ROOT / "secrets").stat().st_mode & 0o777 == 0o700
    assert ROOT.stat().st_mode & 0o007 == 0


def test_compose_works_by_hand_in_current() -> None:
    done = subprocess.run(
        ["docker", "compose", "ps", "--format", "json"],
        cwd=ROOT / "current",
        capture_output=True,
        text=True,
        check=True,
    )
    services = {json.loads(line)["Service"] for line in done.stdout.splitlines()}
    assert services == {"db", "redis", "backend", "worker", "frontend", "nginx"}
    model = subprocess.run(
        ["docker", "compose", "config"], cwd=ROOT / "current", capture_output=True, text=True, check=True
    ).stdout
    assert "build:" not in model
    assert ":latest" not in model


def test_a_restarted_backend_is_served_again_without_ansible(engine: docker.DockerClient) -> None:
    backend = stack_containers(engine)["backend"]
    events = engine.events(decode=True, filters={"container": backend.id, "type": "container"})
    backend.restart(timeout=10)
    for event in events:
        if event["Action"] == "health_status: healthy":
            break
    events.close()
    assert get("/api/health/ready")[0] == 200


def test_a_certificate_that_a_killed_run_did_not_load_is_loaded_by_the_next(engine: docker.DockerClient) -> None:
    before = stack_containers(engine)["nginx"].id
    os.utime(ROOT / "tls" / "fullchain.pem")
    outcome = site(playbook="deploy")
    assert (outcome.returncode, outcome.counter("changed")) == (0, 1)
    assert stack_containers(engine)["nginx"].id == before
    assert site(playbook="deploy").counter("changed") == 0


@pytest.fixture
def copy(tmp_path: Path) -> t.Iterator[Path]:
    """A copy of the example to change; afterwards the example itself is deployed again."""
    target = tmp_path / "monorepo"
    shutil.copytree(MONOREPO, target, ignore=shutil.ignore_patterns("node_modules", ".venv", "__pycache__"))
    yield target
    assert site(playbook="deploy").returncode == 0


def images(engine: docker.DockerClient) -> dict[str, str]:
    return {name: item.attrs["Config"]["Image"] for name, item in stack_containers(engine).items()}


def layers(engine: docker.DockerClient, image: str) -> list[str]:
    found: list[str] = engine.images.get(image).attrs["RootFS"]["Layers"]
    return found


@pytest.mark.parametrize(
    ("part", "file", "rebuilt"),
    [("backend", "app/main.py", {"backend", "worker"}), ("frontend", "public/changed.txt", {"frontend"})],
)
def test_one_changed_line_rebuilds_only_that_image_from_cached_layers(
    engine: docker.DockerClient, copy: Path, part: str, file: str, rebuilt: set[str]
) -> None:
    before = images(engine)
    with (copy / "apps" / part / file).open("a") as source:
        source.write("\n# one more line\n")
    outcome = site(playbook="deploy", stack_source=str(copy))
    assert outcome.returncode == 0
    after = images(engine)
    assert {name for name in after if after[name] != before[name]} == rebuilt
    # Only the layer with the source differs: the dependencies came from the cache.
    old, new = layers(engine, before[part]), layers(engine, after[part])
    assert old[:-1] == new[:-1]
    assert old[-1] != new[-1]


def test_a_release_that_crashes_is_named_and_the_old_one_serves_on(engine: docker.DockerClient, copy: Path) -> None:
    before, release = images(engine), (ROOT / "current").resolve()
    main = copy / "apps" / "backend" / "app" / "main.py"
    main.write_text('raise RuntimeError("planted: this release cannot start")\n')
    outcome = site(playbook="deploy", stack_source=str(copy))
    assert outcome.returncode != 0
    assert "backend did not become ready" in outcome.output
    assert "planted: this release cannot start" in outcome.output
    assert "The previous release serves on" in outcome.output
    assert images(engine) == before
    assert (ROOT / "current").resolve() == release
    assert get("/api/items")[0] == 200


def test_a_changed_password_of_an_existing_database_is_refused(engine: docker.DockerClient) -> None:
    before = {name: item.id for name, item in stack_containers(engine).items()}
    outcome = site(playbook="deploy", stack_secrets={"postgres_password": "another-good-password-1"})
    assert outcome.returncode != 0
    assert "postgres_password differs from the one that is in force" in outcome.output
    assert "another-good-password-1" not in outcome.output
    assert {name: item.id for name, item in stack_containers(engine).items()} == before
    assert get("/api/health/ready")[0] == 200


def test_a_backend_that_is_sick_for_want_of_redis_is_healed_by_the_next_run(engine: docker.DockerClient) -> None:
    containers = stack_containers(engine)
    events = engine.events(decode=True, filters={"container": containers["backend"].id, "type": "container"})
    containers["redis"].stop()
    for event in events:
        if event["Action"] == "health_status: unhealthy":
            break
    events.close()
    assert site(playbook="deploy").returncode == 0
    assert get("/api/health/ready")[0] == 200


def test_volumes_survive_demo_down_and_go_only_when_asked(engine: docker.DockerClient) -> None:
    names = {"shop_db-data", "shop_redis-data"}
    before = get("/api/items")[1]
    assert site(playbook="teardown").returncode == 0
    assert stack_containers(engine) == {}
    assert names <= {volume.name for volume in engine.volumes.list()}
    assert site(playbook="deploy").returncode == 0
    assert get("/api/items")[1] == before
    assert site(playbook="teardown", teardown_volumes=True).returncode == 0
    assert not names & {volume.name for volume in engine.volumes.list()}
    assert site(playbook="deploy").returncode == 0
    assert get("/api/health/ready")[0] == 200


BAD_INPUT: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "unknown service": ({"stack_services": {"databse": {}}}, ["stack_services.databse", "redis"]),
    "misspelt service": ({"stack_services": {"frontnd": {}}}, ["Did you mean `frontend`?"]),
    "wrong type": ({"stack_services": {"backend": {"replicas": "two"}}}, ["replicas", "whole number", "`two` (str)"]),
    "memory without unit": (
        {"stack_services": {"backend": {"memory": 512}}},
        ["backend.memory", "`512` (int)", "512M"],
    ),
    "domain missing": ({"stack_domain": ""}, ["stack_domain", "found nothing", "shop.example.com"]),
    "source path missing": (
        {"stack_source": "/nowhere/at/all"},
        ["stack_source", "/nowhere/at/all", "existing directory"],
    ),
    "placeholder secret": (
        {"stack_secrets": {"postgres_password": "changethis"}},
        ["postgres_password", "placeholder"],
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_before_anything_is_touched(case: str) -> None:
    variables, expected = BAD_INPUT[case]
    outcome = site(**variables)
    assert outcome.returncode != 0
    assert outcome.counter("changed") == 0
    assert "nothing was touched" in outcome.output
    for text in expected:
        assert text in outcome.output


def test_all_problems_of_a_declaration_are_reported_at_once() -> None:
    outcome = site(stack_domain="", stack_services={"db": {"memory": 512}, "cache": {}})
    assert "The declaration has 3 problems" in outcome.output


def test_a_secret_value_is_never_printed() -> None:
    outcome = site("-vvv", stack_secrets={"postgres_password": "changethis", "api_token": "s3cr3t-value-of-a-token"})
    assert outcome.returncode != 0
    assert "s3cr3t-value-of-a-token" not in outcome.output


def test_a_busy_port_is_refused_with_the_name_of_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        outcome = site(stack_http_port=port)
    assert outcome.returncode != 0
    assert outcome.counter("changed") == 0
    assert f"Port {port} is already in use" in outcome.output
    assert "python" in outcome.output or "pytest" in outcome.output


def test_broken_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(INVENTORY, inventory)
    (inventory / "group_vars" / "all.yml").write_text("stack_name: shop\nstack_services: {backend: {replicas: 2}\n")
    outcome = run_playbook(REPOSITORY / "playbooks" / "site.yml", inventory)
    assert outcome.returncode != 0
    assert "all.yml" in outcome.output
    assert "line 2" in outcome.output or "line 3" in outcome.output


def test_a_key_that_does_not_match_the_certificate_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    for name in ("one", "two"):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "30"]
        command += ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True)
    outcome = site(
        stack_tls_provider="provided",
        tls_certificates_provided_fullchain=str(tmp_path / "one.pem"),
        tls_certificates_provided_key=str(tmp_path / "two.key"),
        tls_certificates_provided_allow_self_signed=True,
    )
    assert outcome.returncode != 0
    assert outcome.counter("changed") == 0
    assert "The private key does not belong to the certificate" in outcome.output
    assert "BEGIN PRIVATE KEY" not in outcome.output
