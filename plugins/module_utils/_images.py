# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that were built for a stack, in the Engine's store. With ``_engine``, the edge to the Engine API."""

from __future__ import annotations

import contextlib
import re
import typing as t
from datetime import UTC, datetime

from ansible_collections.shipshape.stack.plugins.module_utils import _build
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._retention import Image

with contextlib.suppress(ImportError):  # _engine.connect reports it
    import docker.errors
    import requests.exceptions


def built(client: t.Any, repositories: t.Collection[str]) -> list[Image]:
    """Return the tags that image_build made in these repositories; what somebody else tagged there is not among them.

    Those of an image that a container was made from, running or not, are left out. Raises StackError.
    """
    found = []
    try:
        used = {item["ImageID"] for item in client.api.containers(all=True)}
        for listed in client.api.images(filters={"label": _build.LABEL}):
            content = listed["Labels"][_build.LABEL]
            own = [tag for tag in listed["RepoTags"] or [] if _is_own(tag, content, repositories)]
            if own and listed["Id"] not in used:
                since = max(datetime.fromtimestamp(listed["Created"], UTC), _last_tagged(client, listed["Id"]))
                found += [Image(tag, since) for tag in own]
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise StackError(
            "The images of the releases that were removed could not be looked for; they stay.",
            evidence=str(error),
            fix="Look into the Engine's log. A later deploy tries again.",
        ) from error
    return found


def remove(client: t.Any, tag: str) -> bool:
    """Remove a tag, and its image with the last one, without force; return whether it went.

    One that a container was made from in the meantime stays. Raises StackError for any other refusal.
    """
    try:
        client.api.remove_image(tag)
    except docker.errors.APIError as error:
        if error.status_code in (404, 409):
            return False
        raise _stays(tag, error) from error
    except requests.exceptions.RequestException as error:
        raise _stays(tag, error) from error
    return True


def _stays(tag: str, error: Exception) -> StackError:
    fix = "Look into the Engine's log. A later deploy tries again."
    return StackError(f"The image {tag} could not be removed.", evidence=str(error), fix=fix)


def _is_own(tag: str, content: str, repositories: t.Collection[str]) -> bool:
    repository, _colon, name = tag.rpartition(":")
    return repository in repositories and name == content


def _last_tagged(client: t.Any, image_id: str) -> datetime:
    """Return when a tag was last given: a build from cache keeps the time its layers were made at."""
    stamp = (client.api.inspect_image(image_id).get("Metadata") or {}).get("LastTagTime") or ""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", stamp)
    # The Engine's zero is year 1; the containerd store has no such time at all.
    if match is None or stamp.startswith("0001-"):
        return datetime.fromtimestamp(0, UTC)
    return datetime.fromisoformat("".join(match.groups()))
