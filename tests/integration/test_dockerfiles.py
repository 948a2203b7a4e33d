# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Dockerfiles written for a repository that has none: one tiny application per package manager, built and run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import typing as t
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from playbook import LOCAL, REPOSITORY, run_play

FIXTURES = Path(__file__).with_name("fixtures") / "dockerfiles"
# Backend and frontend of each repository; `own` brings a Dockerfile for its backend.
REPOSITORIES = {
    "uv": ("uv", "pnpm"),
    "poetry": ("poetry", "npm"),
    "requirements": ("requirements", "yarn"),
    "pyproject": ("pyproject", ""),
    "own": ("own", ""),
}
OWN_DOCKERFILE = """\
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
WORKDIR /app
ENV PIP_CERT=/run/secrets/ca_bundle
RUN --mount=type=secret,id=ca_bundle python3 -m venv .venv && .venv/bin/pip install uvicorn
ENV PATH=/app/.venv/bin:$PATH
COPY app app
RUN touch made-by-the-repository
"""
CONTEXT_JUNK = (
    ".env",
    ".env.production",
    "config/.env.local",
    "node_modules/junk/index.js",
    ".venv/bin/python",
    "app/__pycache__/main.cpython-313.pyc",
    "private/notes.txt",
)


@dataclass(frozen=True)
class Repository:
    """A monorepo of a test, and the project rendered for it with its images."""

    name: str
    source: Path
    fingerprint: str
    root: Path

    @property
    def images(self) -> dict[str, str]:
        """Return service -> tag."""
        images: dict[str, str] = json.loads((self.root / "built.json").read_text())["images"]
        return images

    def build_target(self, service: str, target: str) -> None:
        """Build another target of a service's Dockerfile with what the rendered project passes to it."""
        config = json.loads(self.compose("config", "--format", "json"))
        build = config["services"][service]["build"]
        argv = ["docker", "buildx", "build", "--progress=plain", "--target", target, "--file", build["dockerfile"]]
        for key, value in build["args"].items():
            argv += ["--build-arg", f"{key}={value}"]
        argv += ["--secret", f"id=ca_bundle,src={config['secrets']['ca_bundle']['file']}", build["context"]]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on the rendered project, with the images that were built for it."""
        images = {service: {"image": tag} for service, tag in self.images.items()}
        override = self.root / "images.json"
        override.write_text(json.dumps({"services": images}))
        argv = ["docker", "compose", "-f", str(self.root / "project/compose.yaml"), "-f", str(override), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass(frozen=True)
class Running:
    """A repository whose containers are up and healthy."""

    repository: Repository
    containers: dict[str, Container]

    def get(self, service: str, path: str) -> str:
        """GET from a container on its own address."""
        networks = self.containers[service].attrs["NetworkSettings"]["Networks"]
        address = next(item["IPAddress"] for name, item in networks.items() if name.endswith("_edge"))
        port = {"backend": 8000, "frontend": 8080}[service]
        with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
        return text


def create_source(source: Path, backend: str, frontend: str) -> None:
    """Put a monorepo together, with what lies around in a real checkout and must not reach an image."""
    for part, manager in (("backend", backend), ("frontend", frontend)):
        if not manager:
            continue
        directory = source / "apps" / part
        shutil.copytree(FIXTURES / part, directory)
        if manager == "own":
            (directory / "Dockerfile").write_text(OWN_DOCKERFILE)
        else:
            shutil.copytree(FIXTURES / manager, directory, dirs_exist_ok=True)
        for name in () if manager == "own" else CONTEXT_JUNK:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text("junk")
        (directory / ".dockerignore").write_text("# The repository's own.\nprivate\n.venv\n")
    if backend != "own":
        # A checkout under `umask 077`.
        (source / "apps/backend/app/main.py").chmod(0o600)


def fingerprint(tree: Path) -> str:
    """Return a hash over names, modes, times and contents of a tree."""
    digest = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        digest.update(f"{path} {status.st_mode} {status.st_mtime_ns}\0".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, Repository]]:
    """Every repository, rendered and built in one play."""
    found, hosts = {}, {}
    for name, (backend, frontend) in REPOSITORIES.items():
        directory = tmp_path_factory.mktemp(name)
        create_source(directory / "source", backend, frontend)
        found[name] = Repository(name, directory / "source", fingerprint(directory / "source"), directory / "root")
        off = {"enabled": False}
        hosts[name] = LOCAL | {
            "stack_name": f"proof-{name}",
            "stack_domain": "localhost",
            "stack_user": "root",
            "stack_source": str(directory / "source"),
            "stack_root": str(directory / "root"),
            "stack_services": {"db": off, "redis": off, "worker": off, "nginx": off}
            | ({} if frontend else {"frontend": off}),
            "build": True,
        }
    outcome = run_play(REPOSITORY / "tests/integration/render_project.yml", hosts=hosts)
    assert outcome.returncode == 0
    yield found
    for repository in found.values():
        subprocess.run(["docker", "image", "rm", *repository.images.values()], capture_output=True, check=True)


@pytest.fixture(scope="module", params=REPOSITORIES)
def running(request: pytest.FixtureRequest, repositories: dict[str, Repository]) -> t.Iterator[Running]:
    """One repository after the other, its containers started as the rendered project says."""
    repository = repositories[request.param]
    engine = docker.from_env()
    try:
        repository.compose("up", "--detach", "--wait", "--no-build")
        found = engine.containers.list(filters={"label": f"com.docker.compose.project=proof-{repository.name}"})
        yield Running(repository, {item.labels["com.docker.compose.service"]: item for item in found})
    finally:
        repository.compose("down", "--timeout", "5", "--volumes")


def test_backend_answers_as_its_own_user_with_nothing_but_the_source(running: Running) -> None:
    seen = json.loads(running.get("backend", "/"))
    assert seen["uid"] == 10001
    assert "app/main.py" in seen["files"]
    assert not [name for name in seen["files"] if name in CONTEXT_JUNK or "Dockerfile" in name]
    assert ("made-by-the-repository" in seen["files"]) is (running.repository.name == "own")


def test_frontend_serves_what_its_builder_made_of_nothing_but_the_source(running: Running) -> None:
    if not REPOSITORIES[running.repository.name][1]:
        assert "frontend" not in running.containers
        return
    assert "<title>1h</title>" in running.get("frontend", "/")
    assert "<title>1h</title>" in running.get("frontend", "/a/route/of/the/application")
    seen = json.loads(running.get("frontend", "/files.json"))
    assert seen["api"] == "/api"
    assert "build.mjs" in seen["files"]
    # Vite builds with .env.production; all that is in it is public.
    assert [name for name in seen["files"] if name in CONTEXT_JUNK] == [".env.production"]


def test_images_run_read_only_as_the_user_they_name(running: Running) -> None:
    for service, container in running.containers.items():
        uid = {"backend": "10001", "frontend": "101"}[service]
        assert container.attrs["HostConfig"]["ReadonlyRootfs"] is True
        processes = container.top(ps_args="-eo pid,uid,comm")["Processes"]
        assert {uid_of for _pid, uid_of, _command in processes} == {uid}, (service, processes)
        if running.repository.name != "own":
            assert container.image.attrs["Config"]["User"] == f"{uid}:{uid}"


def test_image_of_the_backend_holds_no_installer_of_ours(running: Running) -> None:
    if running.repository.name != "own":
        found = running.containers["backend"].exec_run(["sh", "-c", "ls .venv/bin; command -v uv poetry"])
        assert "uvicorn" in found.output.decode().split()
        assert not {"pip", "uv", "poetry"} & {Path(name).name for name in found.output.decode().split()}


def test_dockerfile_of_the_repository_comes_before_ours(repositories: dict[str, Repository]) -> None:
    assert not (repositories["own"].root / "project/backend.Dockerfile").exists()
    assert (repositories["uv"].root / "project/backend.Dockerfile").exists()


@pytest.mark.parametrize(
    ("name", "service", "target"),
    [
        ("uv", "backend", "test"),
        ("requirements", "backend", "test"),
        ("pyproject", "backend", "test"),
        ("poetry", "backend", "development"),
        ("uv", "frontend", "test"),
        ("poetry", "frontend", "development"),
    ],
)
def test_test_and_development_targets_build(
    repositories: dict[str, Repository], name: str, service: str, target: str
) -> None:
    repositories[name].build_target(service, target)


def test_nothing_is_written_into_the_source(repositories: dict[str, Repository], running: Running) -> None:
    repository = running.repository
    assert fingerprint(repository.source) == repository.fingerprint
