# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Size and rebuild time of our images beside those of the reference document's Dockerfiles: same app, same run.

The reference is built on plain Debian images (mmdebstrap, then apt-get install), ours on what the role base_images
provides. Ends with 1 if ours are larger than MAX_SIZE_RATIO of theirs or slower to rebuild after a change of one line.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCE = Path(__file__).with_name("reference")
EXAMPLE = REPOSITORY / "examples" / "monorepo"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
MIRROR = "http://deb.debian.org/debian"
POETRY_SOURCE = '\n[[tool.poetry.source]]\nname = "simple"\nurl = "https://pypi.org/simple/"\npriority = "primary"\n'
SERVED = "server {\n  listen 80;\n  root /usr/share/nginx/html;\n  location / { try_files $uri /index.html; }\n}\n"
CHANGED_FILES = {"backend": "app/main.py", "frontend": "src/main.tsx"}
# Not a comment: a bundler would take it out, and the image would stay the same.
CHANGES = {"backend": "print({!r})\n", "frontend": 'console.info("{}");\n'}

REBUILDS = 3
MAX_SIZE_RATIO = 0.55
MAX_REBUILD_RATIO = 1.1
REBUILD_NOISE_SECONDS = 0.2


@dataclass(frozen=True)
class Image:
    """One image of the comparison and how to build it."""

    service: str
    tag: str
    context: Path
    dockerfile: Path
    args: t.Mapping[str, str]
    target: str = ""

    def build(self, *options: str) -> float:
        """Build and return the seconds it took."""
        argv = ["docker", "buildx", "build", "--load", "--progress=plain", "--tag", self.tag, *options]
        argv += ["--file", str(self.dockerfile), "--secret", f"id=ca_bundle,src={CA_BUNDLE}"]
        argv += ["--target", self.target] if self.target else []
        for key, value in self.args.items():
            argv += ["--build-arg", f"{key}={value}"]
        started = time.monotonic()
        run([*argv, str(self.context)])
        return time.monotonic() - started

    def change_one_line(self, number: int) -> None:
        """Add a line to the source."""
        with (self.context / CHANGED_FILES[self.service]).open("a", encoding="utf-8") as source:
            source.write(CHANGES[self.service].format(f"change {number} of {time.time_ns()}"))

    def id(self) -> str:
        """Return the id of the image as it is now."""
        return run(["docker", "image", "inspect", "--format", "{{.Id}}", self.tag])

    def megabytes(self) -> float:
        """Return the size as `docker images` shows it, in MB."""
        return int(run(["docker", "image", "inspect", "--format", "{{.Size}}", self.tag])) / 1e6

    def apt_cache_megabytes(self) -> float:
        """Return how much of it is apt's cache, which a base image made with more care would not have."""
        argv = [
            "docker",
            "run",
            "--rm",
            "--network=none",
            "--user=0",
            "--entrypoint=du",
            self.tag,
            "-sb",
            "/var/cache/apt",
        ]
        return int(run(argv).split()[0]) / 1e6


@dataclass(frozen=True)
class Result:
    """What was measured: MB and seconds."""

    size: float
    apt_cache: float
    first: float
    rebuild: float


def run(argv: t.Sequence[str], *, stdin: str | None = None, cwd: Path | None = None) -> str:
    """Run a command; end the benchmark with its output if it fails."""
    done = subprocess.run(argv, input=stdin, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv[:6])} … failed:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}")
    return done.stdout


def say(text: str) -> None:
    """Print progress at once."""
    print(f"-- {text}", flush=True)


def copy_example(target: Path) -> None:
    """Copy the sources without what tools left in them."""
    left_behind = (REFERENCE / "dockerignore").read_text(encoding="utf-8").split()
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns(*left_behind, ".venv", ".*_cache"))


def plain_bases() -> dict[str, str]:
    """Build the plain Debian images the reference stands on, unless the same ones are there; image -> tag."""
    recipe = REFERENCE / "base.Dockerfile"
    version = hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]
    debian = "shipshape-bench/debian:trixie"
    if not exists(debian):
        say("bootstrapping a plain Debian trixie with mmdebstrap")
        bootstrap = ["mmdebstrap", "--quiet", "--variant=minbase", "trixie", "-", MIRROR]
        with subprocess.Popen(bootstrap, stdout=subprocess.PIPE) as root:
            subprocess.run(["docker", "import", "-", debian], stdin=root.stdout, stdout=subprocess.DEVNULL, check=True)
        if root.returncode:
            sys.exit("mmdebstrap failed")
    bases = {}
    for name in ("python", "node", "nginx"):
        bases[name] = f"shipshape-bench/{name}:{version}"
        if not exists(bases[name]):
            say(f"building the plain {name} image")
            argv = ["docker", "buildx", "build", "--load", "--target", name, "--tag", bases[name]]
            run([*argv, "--build-arg", f"BASE={debian}", "-"], stdin=recipe.read_text(encoding="utf-8"))
    return bases


def exists(tag: str) -> bool:
    """Return whether the Engine has an image."""
    return bool(run(["docker", "image", "ls", "--quiet", tag]).strip())


def reference_images(scratch: Path) -> list[Image]:
    """Return the reference's images, with the files its Dockerfiles expect in the sources."""
    bases = plain_bases()
    source = scratch / "reference"
    copy_example(source)
    backend, frontend = source / "apps/backend", source / "apps/frontend"
    with (backend / "pyproject.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(POETRY_SOURCE)
    (frontend / "nginx.conf").write_text(SERVED, encoding="utf-8")
    for part in (backend, frontend):
        shutil.copy(REFERENCE / "dockerignore", part / ".dockerignore")
    say("locking the same dependencies with Poetry")
    lock = f"""
FROM {bases["python"]} AS poetry
ENV PIP_CERT=/run/secrets/ca_bundle REQUESTS_CA_BUNDLE=/run/secrets/ca_bundle
RUN --mount=type=secret,id=ca_bundle pip install --ignore-installed poetry
COPY pyproject.toml ./
RUN --mount=type=secret,id=ca_bundle poetry lock
FROM scratch
COPY --from=poetry poetry.lock /
"""
    argv = ["docker", "buildx", "build", "--file", "-", "--secret", f"id=ca_bundle,src={CA_BUNDLE}"]
    run([*argv, "--output", str(backend), str(backend)], stdin=lock)
    pnpm = json.loads((frontend / "package.json").read_text(encoding="utf-8"))["packageManager"]
    return [
        Image(
            "backend",
            "shipshape-bench/reference-backend:run",
            backend,
            REFERENCE / "backend.Dockerfile",
            {"PYTHON_IMAGE": bases["python"]},
        ),
        Image(
            "frontend",
            "shipshape-bench/reference-frontend:run",
            frontend,
            REFERENCE / "frontend.Dockerfile",
            {"NODE_IMAGE": bases["node"], "NGINX_IMAGE": bases["nginx"], "PNPM": pnpm},
        ),
    ]


def our_images(scratch: Path) -> list[Image]:
    """Return our images, built from what the roles render for a copy of the example."""
    say("rendering our project (and building our base images, if this machine has none yet)")
    source, root = scratch / "source", scratch / "root"
    copy_example(source)
    off = {"enabled": False}
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_become": os.getuid() != 0,
        "stack_name": "bench",
        "stack_domain": "localhost",
        "stack_user": pwd.getpwuid(os.getuid()).pw_name,
        "stack_source": str(source),
        "stack_root": str(root),
        "stack_services": dict.fromkeys(("db", "redis", "worker", "nginx"), off),
    }
    inventory = scratch / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"bench": host}}}), encoding="utf-8")
    playbook = REPOSITORY / "tests/integration/render_project.yml"
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    run([ansible, "-i", str(inventory), str(playbook)], cwd=REPOSITORY)
    compose = ["docker", "compose", "--project-directory", str(root / "project"), "config", "--format", "json"]
    services = json.loads(run(compose))["services"]
    return [
        Image(
            service,
            f"shipshape-bench/our-{service}:run",
            Path(build["context"]),
            Path(build["dockerfile"]),
            build["args"],
            build["target"],
        )
        for service, build in ((name, services[name]["build"]) for name in CHANGED_FILES)
    ]


def measure(pair: tuple[Image, Image]) -> tuple[Result, Result]:
    """Build both from nothing, then take turns at changing a line and building again."""
    firsts = []
    for image in pair:
        say(f"first build of {image.tag}")
        firsts.append(image.build("--no-cache"))
        image.build()
    rebuilds: dict[str, list[float]] = {image.tag: [] for image in pair}
    for number in range(REBUILDS):
        for image in pair:
            before = image.id()
            image.change_one_line(number)
            rebuilds[image.tag].append(image.build())
            if image.id() == before:
                sys.exit(f"{image.tag} does not hold the change of its source")
    for tag, seconds in rebuilds.items():
        say(f"rebuilds of {tag}: {', '.join(f'{value:.2f}' for value in seconds)} s")
    theirs, ours = (
        Result(image.megabytes(), image.apt_cache_megabytes(), first, statistics.median(rebuilds[image.tag]))
        for image, first in zip(pair, firsts, strict=True)
    )
    return theirs, ours


def report(results: t.Mapping[str, tuple[Result, Result]]) -> list[str]:
    """Print the table and return what is worse than promised."""
    print(f"\n{'image':<22}{'size MB':>9}{'rebuild s':>11}{'first build s':>15}{'size ratio':>12}{'rebuild ratio':>15}")
    broken = []
    for service, (theirs, ours) in results.items():
        size, rebuild = ours.size / theirs.size, ours.rebuild / theirs.rebuild
        print(f"{service + ' reference':<22}{theirs.size:>9.1f}{theirs.rebuild:>11.2f}{theirs.first:>15.1f}")
        print(f"{service + ' ours':<22}{ours.size:>9.1f}{ours.rebuild:>11.2f}{ours.first:>15.1f}", end="")
        print(f"{size:>12.2f}{rebuild:>15.2f}")
        strict = (ours.size - ours.apt_cache) / (theirs.size - theirs.apt_cache)
        print(f"{'':<22}{theirs.apt_cache:.0f} MB of the reference are apt's cache; ratio without it: {strict:.2f}")
        if size > MAX_SIZE_RATIO:
            broken.append(f"{service}: {size:.2f} of the reference's size, promised {MAX_SIZE_RATIO}")
        if ours.rebuild > max(theirs.rebuild * MAX_REBUILD_RATIO, theirs.rebuild + REBUILD_NOISE_SECONDS):
            broken.append(f"{service}: rebuilt in {ours.rebuild:.2f} s, the reference in {theirs.rebuild:.2f} s")
    print(
        f"rebuild: after a change of one line, median of {REBUILDS}; first build: no layer cached, package caches kept"
    )
    return broken


def main() -> int:
    """Run the benchmark."""
    scratch = Path(tempfile.mkdtemp(prefix="shipshape-bench-"))
    images: list[Image] = []
    try:
        images += reference_images(scratch)
        images += our_images(scratch)
        results = {}
        for service in CHANGED_FILES:
            theirs, ours = (image for image in images if image.service == service)
            results[service] = measure((theirs, ours))
        broken = report(results)
    finally:
        for image in images:
            subprocess.run(["docker", "image", "rm", image.tag], capture_output=True, check=False)
        become = [] if os.getuid() == 0 else ["sudo"]
        subprocess.run([*become, "rm", "-rf", str(scratch)], check=True)
    for problem in broken:
        print(f"BROKEN {problem}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
