# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conductor of `image_build`: which image a service is built into, and the build itself."""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _context, _diagnosis, _engine
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError

TAG_LENGTH = 12
LABEL = "shipshape.stack.content"
# BuildKit names a step when it starts and again each time it turns back to it: `#7 [build 3/5] RUN uv sync`.
STEP = re.compile(r"#\d+ (\[(?!internal\])[^\]]+\] .+)")
STEP_WIDTH = 120


def tags(client: t.Any, model: dict[str, t.Any], chosen: t.Sequence[str]) -> tuple[dict[str, str], dict[str, t.Any]]:
    """Return service -> tag and tag -> build; equal builds share the tag of the first service that has it."""
    images: dict[str, str] = {}
    builds: dict[str, _context.Build] = {}
    by_digest: dict[str, str] = {}
    for name, definition in model["services"].items():
        if "build" not in definition or (chosen and name not in chosen):
            continue
        build = _context.from_service(definition, model.get("secrets") or {})
        references = _context.base_references(_context.dockerfile_text(build), build.args)
        bases = {reference: _engine.image_id(client, reference) or "" for reference in references}
        digest = _context.content_hash(build, bases)
        tag = by_digest.setdefault(digest, f"{model['name']}/{name.lower()}:{digest[:TAG_LENGTH]}")
        images[name], builds[tag] = tag, build
    return images, builds


def steps(say: t.Callable[[str], None]) -> t.Callable[[str], None]:
    """Return a listener to the plain output of a build that says each step once, when it starts."""
    said: set[str] = set()

    def heard(line: str) -> None:
        found = STEP.fullmatch(line.rstrip())
        if found and found[1] not in said:
            said.add(found[1])
            say(found[1] if len(found[1]) <= STEP_WIDTH else f"{found[1][: STEP_WIDTH - 1]}…")

    return heard


def build_one(tag: str, build: _context.Build, say: t.Callable[[str], None]) -> float:
    """Build one image, say what is done, and return the seconds it took."""
    started = time.monotonic()
    name = tag.rpartition(":")[0].rpartition("/")[2]
    argv = _compose.build_argv(
        context=build.context,
        dockerfile=build.dockerfile,
        tag=tag,
        target=build.target,
        args=build.args,
        secrets=build.secrets,
        labels={LABEL: tag.rsplit(":", 1)[1]},
    )
    done = _compose.run_aloud(argv, steps(lambda step: say(f"{name}: {step}")))
    took = time.monotonic() - started
    say(f"{name}: {'built in' if done.returncode == 0 else 'failed after'} {took:.1f} s")
    if done.returncode != 0:
        known = _diagnosis.explain(done.stderr.splitlines()[::-1])
        raise StackError(
            f"The image {tag} could not be built. {known.cause if known else ''}".strip(),
            evidence=done.tail(25),
            fix=f"{known.fix if known else 'See the last lines above.'} The running stack was not touched.",
        )
    return round(took, 1)
