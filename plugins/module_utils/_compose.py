# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that runs ``docker compose`` and ``docker buildx``.

Builders return an argument list and execute nothing; ``run`` executes one and returns what came back.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _diagnosis
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


@dataclass(frozen=True)
class Completed:
    """What a finished command left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def tail(self, lines: int = 20) -> str:
        """Return the last ``lines`` of standard error, or of standard output if there is none."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True)
class Project:
    """A Compose project on disk. ``files`` are relative to ``directory``; empty means Compose's own search."""

    directory: str
    name: str | None = None
    files: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()

    def argv(self, *command: str) -> list[str]:
        """Build ``docker compose … command`` for this project."""
        argv = ["docker", "compose", "--ansi", "never", "--project-directory", self.directory]
        if self.name:
            argv += ["--project-name", self.name]
        for flag, values in (("--file", self.files), ("--env-file", self.env_files), ("--profile", self.profiles)):
            for value in values:
                argv += [flag, value]
        return [*argv, *command]


def run(argv: t.Sequence[str], *, cwd: str | None = None, timeout: float | None = None, stdin: str = "") -> Completed:
    """Run ``argv`` to its end; ``timeout`` is in seconds.

    Raises StackError when the program is missing or the time is over; an exit code other than 0 is the caller's.
    """
    try:
        # run_command takes no timeout, and the functions of this file know no module.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(argv),
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise _not_found(argv, error) from error
    except subprocess.TimeoutExpired as error:
        raise _too_slow(argv, error.timeout, (error.stderr or b"").decode(errors="replace")) from error
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def run_aloud(
    argv: t.Sequence[str], heard: t.Callable[[str], None], *, cwd: str | None = None, timeout: float | None = None
) -> Completed:
    """Run ``argv`` as ``run`` does and pass on each line of both streams as it comes, one at a time."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(argv),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise _not_found(argv, error) from error
    lines: tuple[list[str], list[str]] = ([], [])
    turn = threading.Lock()

    def read(stream: t.IO[str], into: list[str]) -> None:
        for line in stream:
            into.append(line)
            with turn:
                heard(line.rstrip("\n"))

    streams = (process.stdout, process.stderr)
    readers = [
        threading.Thread(target=read, args=(stream, into), daemon=True)
        for stream, into in zip(streams, lines, strict=True)
    ]
    for reader in readers:
        reader.start()

    def remaining() -> float | None:
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    try:
        process.wait(remaining())
        for reader in readers:
            reader.join(remaining())
        # A descendant may hold the streams open.
        if any(reader.is_alive() for reader in readers):
            raise subprocess.TimeoutExpired(argv, timeout or 0)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise _too_slow(argv, timeout or 0, "".join(lines[1])) from error
    return Completed(tuple(argv), process.returncode, "".join(lines[0]), "".join(lines[1]))


def config(project: Project) -> dict[str, t.Any]:
    """Return the project as Compose understands it (``config --format json``)."""
    return config_and_warnings(project)[0]


def config_and_warnings(project: Project) -> tuple[dict[str, t.Any], str]:
    """Return the project as Compose understands it, and what it wrote to standard error on the way."""
    done = _checked(project, "config", "--format", "json")
    return json.loads(done.stdout), done.stderr


def config_yaml(project: Project) -> str:
    """Return the canonical YAML of the project: variables interpolated, short forms expanded, paths absolute."""
    return _checked(project, "config").stdout


def config_hashes(project: Project, model: t.Mapping[str, t.Any], containers: t.Mapping[str, str]) -> dict[str, str]:
    """Return service -> config hash, as Compose writes it into the label of a container it creates.

    `config --hash` on the project itself knows neither the variables of an ``env_file`` nor the container that
    ``network_mode: service:…`` leads to, so it gets the model with both filled in; ``containers`` maps a service to
    the id of its first container.
    """
    services = {name: _without_references(service, containers) for name, service in model["services"].items()}
    resolved = replace(project, name=model["name"], files=("-",))
    done = _checked(resolved, "config", "--hash", "*", stdin=_json_as_yaml({**model, "services": services}))
    return dict(line.split() for line in done.stdout.splitlines() if line.strip())


def _json_as_yaml(model: t.Mapping[str, t.Any]) -> str:
    # JSON escapes a character beyond U+FFFF in two halves, which YAML refuses; as they are, all but these are text.
    text = json.dumps(model, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def version(plugin: str) -> str:
    """Return the version of a CLI plugin (``compose``, ``buildx``) as ``2.26.1``, empty if it is missing."""
    done = run(["docker", plugin, "version"])
    match = re.search(r"\d+\.\d+\.\d+", done.stdout) if done.returncode == 0 else None
    return match.group() if match else ""


def create(project: Project, counts: t.Mapping[str, int], *options: str, timeout: float) -> None:
    """Make the containers of these services without starting them, never building; ``counts`` includes present ones.

    With ``--no-recreate`` those that exist stay as they are. Raises StackError with what Compose said.
    """
    scale = [word for name, count in counts.items() for word in ("--scale", f"{name}={count}")]
    argv = project.argv("create", "--no-build", "--quiet-pull", *options, *scale, *counts)
    _brought(run(argv, cwd=project.directory, timeout=timeout), project)


def start_services(project: Project, services: t.Iterable[str], *, timeout: float) -> None:
    """Let Compose start the containers of these services. Raises StackError with what it said."""
    _brought(run(project.argv("start", *services), cwd=project.directory, timeout=timeout), project)


def _brought(done: Completed, project: Project) -> None:
    if done.returncode == 0:
        return
    lines = done.tail().splitlines()
    known = _diagnosis.explain(lines[::-1])
    raise StackError(
        f"Compose could not bring the project up. {known.cause if known else ''}".strip(),
        evidence="\n".join(lines),
        fix=known.fix if known else f"Try it by hand: `docker compose up` in {project.directory}.",
    )


def run_argv(
    project: Project, service: str, name: str, command: t.Sequence[str], environment: t.Mapping[str, str] | None = None
) -> list[str]:
    """Build ``run`` of a throwaway container of ``service`` with the service's own configuration and no port."""
    named = ["--name", name] if name else []
    variables = [word for item in (environment or {}).items() for word in ("--env", "=".join(item))]
    return project.argv("run", "--rm", "--no-deps", "--no-TTY", *named, *variables, service, *command)


def run_detached(project: Project, model: t.Mapping[str, t.Any], service: str, name: str) -> None:
    """Run a container of a service of ``model`` beside its others, in the background, with the ports it publishes.

    The model is what Compose's ``config`` printed, changed. Raises StackError with what Compose said.
    """
    resolved = replace(project, name=model["name"], files=("-",))
    options = ("--detach", "--no-deps", "--no-TTY", "--service-ports", "--name", name)
    done = run(resolved.argv("run", *options, service), cwd=project.directory, stdin=_json_as_yaml(model))
    _brought(done, project)


def build_argv(
    *,
    context: str,
    dockerfile: str,
    tag: str,
    target: str = "",
    args: t.Mapping[str, str] | None = None,
    secrets: t.Mapping[str, str] | None = None,
    labels: t.Mapping[str, str] | None = None,
) -> list[str]:
    """Build ``buildx build`` into the Engine's own image store. ``secrets`` maps a BuildKit secret id to a file."""
    argv = ["docker", "buildx", "build", "--load", "--progress", "plain", "--tag", tag, "--file", dockerfile]
    if target:
        argv += ["--target", target]
    for key, value in sorted((args or {}).items()):
        argv += ["--build-arg", f"{key}={value}"]
    for key, value in sorted((labels or {}).items()):
        argv += ["--label", f"{key}={value}"]
    for key, path in sorted((secrets or {}).items()):
        argv += ["--secret", f"id={key},src={path}"]
    return [*argv, context]


def _without_references(service: t.Mapping[str, t.Any], containers: t.Mapping[str, str]) -> dict[str, t.Any]:
    resolved = dict(service)
    for key in ("network_mode", "pid", "ipc"):
        kind, _colon, name = str(service.get(key) or "").partition(":")
        if kind == "service" and name in containers:
            resolved[key] = f"container:{containers[name]}"
    return resolved


def _not_found(argv: t.Sequence[str], error: FileNotFoundError) -> StackError:
    return StackError(
        f"The command {argv[0]!r} was not found on this host.",
        evidence=str(error),
        fix="Apply the role shipshape.stack.docker_engine first.",
    )


def _too_slow(argv: t.Sequence[str], timeout: float, stderr: str) -> StackError:
    return StackError(
        f"{' '.join(argv[:4])} … did not end within {timeout:g} s.",
        evidence=stderr[-2000:],
        fix="Look at the evidence; raise the timeout if the work is merely slow.",
    )


def _checked(project: Project, *command: str, stdin: str = "") -> Completed:
    if not Path(project.directory).is_dir():
        raise StackError(
            f"The project directory {project.directory} does not exist.",
            fix="Set project_src to the directory that holds the Compose file.",
        )
    done = run(project.argv(*command), cwd=project.directory, stdin=stdin)
    if done.returncode != 0:
        raise StackError(
            f"Compose cannot read the project in {project.directory}.",
            evidence=done.tail(),
            fix="Correct the file named above; `docker compose config` shows the same message.",
        )
    return done
