# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every declaration is rendered to, as Compose, nginx and BuildKit themselves read it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t
import warnings
from pathlib import Path

import pytest
from certificates import company, issue
from declarations import DECLARATIONS, FULL, Declaration
from modules import newest_image
from rendering import Rendered

from ansible_collections.shipshape.stack.plugins.module_utils import _compose

Render = t.Callable[[Declaration], Rendered]
# Tests one configuration after the other, where it will be mounted. None of them may have a warning.
NGINX_TEST = """
for name in $(ls /configurations); do
    ln -sfn "/configurations/$name" /etc/nginx/stack
    output=$(nginx -t -e stderr -c /etc/nginx/stack/nginx.conf 2>&1)
    echo "$name $? $(echo "$output" | grep -v -e 'syntax is ok' -e 'test is successful' | head -n 3 | tr '\\n' ' ')"
done
"""
TARGETS = ("development", "test", "production")


@pytest.fixture(scope="session")
def everything(render: Render) -> dict[str, Rendered]:
    """Every declaration of the matrix, rendered."""
    return {declaration.name: render(declaration) for declaration in DECLARATIONS}


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def compose(rendered: Rendered, directory: Path, *arguments: str) -> str:
    """Run `docker compose` on the rendered project; a warning is an error."""
    (directory / "compose.yaml").write_text(rendered.project["compose.yaml"], encoding="utf-8")
    done = run("docker", "compose", "--project-directory", str(directory), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_compose_accepts_the_project(rendered: Rendered, tmp_path: Path) -> None:
    assert compose(rendered, tmp_path, "config", "--quiet") == ""


def test_compose_understands_what_was_stated(rendered: Rendered, tmp_path: Path) -> None:
    project = json.loads(compose(rendered, tmp_path, "config", "--format", "json"))
    assert project["name"] == rendered.model["name"]
    for name, service in rendered.model["services"].items():
        found = project["services"][name]
        # Compose doubles each dollar again in what it prints.
        environment = {key: value.replace("$$", "$") for key, value in (found.get("environment") or {}).items()}
        stated = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in service["environment"].items()
        }
        assert {key: environment.get(key) for key in stated} == stated
        if service.get("command"):
            assert [word.replace("$$", "$") for word in found["command"]] == service["command"]


def test_resolved_project_of_a_release_holds_the_same_environment(render: Render, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    compose(render(FULL), first, "config", "--quiet")
    declared = _compose.Project(directory=str(first))
    (second / "compose.yaml").write_text(_compose.config_yaml(declared), encoding="utf-8")
    resolved = _compose.Project(directory=str(second))
    before, after = (_compose.config(project)["services"] for project in (declared, resolved))
    assert {name: service.get("environment") for name, service in after.items()} == {
        name: service.get("environment") for name, service in before.items()
    }


def test_hashes_of_odd_values_are_those_compose_labels_its_containers_with(render: Render, tmp_path: Path) -> None:
    printed = compose(render(FULL), tmp_path, "config", "--hash", "*")
    project = _compose.Project(directory=str(tmp_path))
    hashes = _compose.config_hashes(project, _compose.config(project), {})
    assert hashes == dict(line.split() for line in printed.splitlines())


def test_nginx_accepts_every_edge_without_a_warning(everything: dict[str, Rendered], tmp_path: Path) -> None:
    edges = {f"{index:03}": rendered for index, rendered in enumerate(everything.values()) if rendered.edge}
    for number, rendered in edges.items():
        for name, content in rendered.edge.items():
            file = tmp_path / "configurations" / number / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
    ca = company()
    leaf = issue("shop.example.com", ca.intermediate, names=["shop.example.com"])
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/fullchain.pem").write_text(ca.chain(leaf))
    (tmp_path / "tls/privkey.pem").write_text(leaf.key)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    confined = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--network=none"]
    done = run(
        *("docker", "run", "--rm", "--user=101:101", *confined, "--entrypoint=sh"),
        # The image's own configuration is out of the way: ours includes none of it.
        *("--tmpfs=/tmp", "--tmpfs=/var/cache/nginx", "--tmpfs=/etc/nginx:uid=101,gid=101"),
        *(f"--volume={tmp_path}/configurations:/configurations:ro", f"--volume={tmp_path}/tls:/etc/nginx/tls:ro"),
        *(newest_image("shipshape/nginx"), "-c", NGINX_TEST),
    )
    assert done.returncode == 0, done.stderr
    found = {number: (code, said.strip()) for number, code, said in map(split, done.stdout.splitlines())}
    assert set(found) == set(edges)
    assert {edges[number].declaration.name: said for number, said in found.items() if said != ("0", "")} == {}


def test_buildkit_accepts_every_dockerfile(everything: dict[str, Rendered], tmp_path: Path) -> None:
    request = ["--check"] if can_check(tmp_path) else fallback()
    command = ["docker", "buildx", "build", "--progress=quiet", *request]
    for image in ("python", "node", "nginx"):
        command += ["--build-arg", f"{image.upper()}_IMAGE={newest_image(f'shipshape/{image}')}"]
    distinct = {text: rendered for rendered in everything.values() for text in rendered.dockerfiles.values()}
    assert len(distinct) >= 10
    for number, (text, rendered) in enumerate(distinct.items()):
        file = tmp_path / f"{number}.Dockerfile"
        file.write_text(text, encoding="utf-8")
        for target in TARGETS:
            done = run(*command, "--target", target, "--file", str(file), str(tmp_path), BUILDX_EXPERIMENTAL="1")
            assert done.returncode == 0, (rendered.declaration.name, target, done.stdout, done.stderr)


def can_check(directory: Path) -> bool:
    """Return whether there are build checks: buildx has had the option since 0.15, BuildKit the checks since 0.14."""
    if not has_option("check"):
        return False
    (directory / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    done = run("docker", "buildx", "build", "--check", str(directory))
    assert done.returncode == 0 or "unsupported request" in done.stderr, done.stderr
    return done.returncode == 0


def fallback() -> list[str]:
    """Have BuildKit read the files as for a build, but build nothing; hadolint's look at them is a unit test."""
    warnings.warn("no `docker buildx build --check` here: BuildKit parses the Dockerfiles unchecked", stacklevel=1)
    option = "call" if has_option("call") else "print"
    assert has_option(option)
    return [f"--{option}=outline", "--output=type=cacheonly"]


def has_option(name: str) -> bool:
    shown = run("docker", "buildx", "build", "--help", BUILDX_EXPERIMENTAL="1").stdout
    return bool(re.search(rf"^\s+--{name}\b", shown, re.MULTILINE))


def split(line: str) -> tuple[str, str, str]:
    number, code, said = line.split(" ", 2)
    return number, code, said
