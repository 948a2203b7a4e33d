# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conductor of `compose_migrate`: where the database stands, where the image leads, and the run between."""

from __future__ import annotations

import contextlib
import json
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _compose, _engine, _revision
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import write_atomically

CACHE_SIZE = 20


@dataclass(frozen=True)
class Database:
    """The service that runs PostgreSQL, and the names in it."""

    service: str
    user: str
    name: str


def heads(client: t.Any, image: str, cache: Path | None) -> tuple[str, ...]:
    """Return the Alembic heads of an image. They never change for an image id, so they are looked up once."""
    image_id = _engine.image_id(client, image)
    if image_id is None:
        raise StackError(f"The image {image} is not on this host.", fix="Build or pull it before migrating.")
    known: dict[str, list[str]] = {}
    if cache is not None and cache.is_file():
        # Nothing is lost with a file that cannot be read: the heads are looked up again.
        with contextlib.suppress(ValueError):
            known = json.loads(cache.read_text(encoding="utf-8"))
    if image_id not in known:
        code, output = _engine.run_once(client, image, ["alembic", "heads"])
        if code != 0:
            raise StackError(
                f"`alembic heads` failed in the image {image}.",
                evidence="\n".join(output.strip().splitlines()[-10:]),
                fix="Check that the image holds alembic, alembic.ini and the versions directory.",
            )
        known[image_id] = list(_revision.parse_heads(output))
        if cache is not None:
            newest = dict(list(known.items())[-CACHE_SIZE:])
            write_atomically(cache, json.dumps(newest, indent=2) + "\n")
    return tuple(known[image_id])


def database_is_ready(client: t.Any, project: str, database: Database) -> bool:
    """Return whether the database runs and is not unhealthy or still starting."""
    own = [item for item in _engine.containers(client, project) if item.service == database.service]
    return any(item.status == "running" and item.health in ("none", "healthy") for item in own)


def database_revision(client: t.Any, project: str, database: Database) -> str:
    """Return the revision the database is at, or an empty string for one that was never migrated."""
    own = [item for item in _engine.containers(client, project) if item.service == database.service]
    running = next((item for item in own if item.status == "running"), None)
    if running is None:
        raise StackError(
            f"The database service {database.service} does not run.",
            evidence=f"Its container is {own[0].status if own else 'missing'}.",
            fix="Bring it up first: shipshape.stack.compose_up with `services`.",
        )
    query = "SELECT version_num FROM alembic_version"
    argv = ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", database.user, "-d", database.name, "-c", query]
    code, output = _engine.execute(client, running.id, argv)
    if code == 0:
        return ",".join(output.split())
    if 'relation "alembic_version" does not exist' in output:
        return ""
    raise StackError(
        "The revision of the database cannot be read.",
        evidence=output.strip()[-500:],
        fix=f"Check that the database {database.name} and its owner {database.user} exist.",
    )


def upgrade(
    client: t.Any,
    project: _compose.Project,
    name: str,
    service: str,
    command: t.Sequence[str],
    timeout: float,
    say: t.Callable[[str], None],
) -> str:
    """Run the migration once in a container of ``service`` and return its output; ``timeout`` is in seconds.

    Each line of the output is said as it comes.
    """
    container = f"{name}-migrate"
    # The deploy lock is ours: one that is still there was left by a run that was killed.
    _engine.remove(client, container)
    argv = _compose.run_argv(project, service, container, command)
    try:
        done = _compose.run_aloud(argv, lambda line: say(f"migrate: {line}"), cwd=project.directory, timeout=timeout)
    finally:
        _engine.remove(client, container)
    if done.returncode != 0:
        raise StackError(
            "The migration failed; the running release was not touched.",
            evidence="\n".join((done.stdout + done.stderr).strip().splitlines()[-20:]),
            fix="Correct the revision named above and deploy again.",
        )
    return done.stdout + done.stderr
