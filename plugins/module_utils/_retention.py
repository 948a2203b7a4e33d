# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases go, which of their images go with them, and which release a rollback leads to. No I/O."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from datetime import datetime, timedelta

from ansible_collections.shipshape.stack.plugins.module_utils._dumps import Dump
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import Broken, Release, moment
from ansible_collections.shipshape.stack.plugins.module_utils._revision import Revision


@dataclass(frozen=True)
class Image:
    """A tag of a built image, and when it was last given to one."""

    tag: str
    since: datetime


def was_deployed(release: Release) -> bool:
    """Return whether a release ever ran: one that failed when it was gone back to did."""
    return release.outcome == "deployed" or bool(release.deployed)


def rollback_target(releases: t.Iterable[Release], active: str) -> Release | None:
    """Return the newest deployed release before the one with the id ``active`` that differs from it in content.

    The one that a rollback left is newer, and so is never the target of the next.
    """
    known = {release.id: release for release in releases}
    content = known[active].content_hash if active in known else ""
    candidates = [
        release
        for release in known.values()
        if release.outcome == "deployed" and release.id < active and release.content_hash != content
    ]
    return max(candidates, key=lambda release: release.id, default=None)


def outdated(releases: t.Iterable[Release], active: str, *, keep: int, keep_days: int, now: datetime) -> list[Release]:
    """Return the releases that go, the newest first.

    Those stay: the ``keep`` newest that were deployed, and the newest that never was, as far as they were deployed (or
    made) within ``keep_days`` days; 0 is no limit of age. The current release and the target of a rollback always stay,
    and count among ``keep``.
    """
    newest_first = sorted(releases, key=lambda release: release.id, reverse=True)
    target = rollback_target(newest_first, active)
    safe = {active, target.id if target else active} - {""}
    others = [release for release in newest_first if release.id not in safe]
    deployed = [release for release in others if was_deployed(release)]
    never = [release for release in others if not was_deployed(release)]
    within_count = {release.id for release in [*deployed[: max(keep - len(safe), 0)], *never[:1]]}
    return [release for release in others if release.id not in within_count or _too_old(release, keep_days, now)]


def repositories(releases: t.Iterable[Release]) -> set[str]:
    """Return the repositories of the images that were built for these releases."""
    return {_repository(tag) for release in releases for tag in release.images.values()}


def named_in(compose_file: str) -> set[str]:
    """Return the images a Compose file names, read as text: its release is broken, so the file may be, too."""
    return set(re.findall(r"^\s*image:\s*[\"']?([^\s\"']+)", compose_file, re.MULTILINE))


def unused_images(
    images: t.Iterable[Image], *, kept: t.Sequence[Release], gone: t.Iterable[Release], spared: t.Collection[str]
) -> list[str]:
    """Return the tags that go: no kept release names them, nor does ``spared``, and either one that is gone did,
    or they are older than every kept release and so are left over from a deploy that ended before its release.
    """
    named = {tag for release in kept for tag in release.images.values()} | set(spared)
    dropped = {tag for release in gone for tag in release.images.values()}
    oldest = min((moment(release.created) for release in kept), default=None)
    return sorted(
        image.tag
        for image in images
        if image.tag not in named and (image.tag in dropped or (oldest is not None and image.since < oldest))
    )


def choose(entries: t.Sequence[Release | Broken], active: str, wanted: str) -> Release:
    """Return the release to go back to: the one whose id begins with ``wanted``, without that ``rollback_target``.

    Raises StackError that names the releases there are.
    """
    releases = [entry for entry in entries if isinstance(entry, Release)]
    overview = describe(entries, active)
    if not active:
        raise StackError(
            "No release is deployed, so there is none to go back from.", evidence=overview, fix="Deploy first."
        )
    if not wanted:
        target = rollback_target(releases, active)
        if target is None:
            raise StackError(
                f"There is no deployed release before the current one, {active}.",
                evidence=overview,
                fix="Name one of the releases above, or deploy the version you want.",
            )
        return target
    exact = [entry for entry in entries if entry.id == wanted]
    found = exact or [entry for entry in entries if entry.id.startswith(wanted)]
    if len(found) != 1:
        cause = f"{wanted} is the beginning of {len(found)} releases." if found else f"There is no release {wanted}."
        raise StackError(cause, evidence=overview, fix="Name one of them: its id, or a beginning only it has.")
    release = found[0]
    if isinstance(release, Broken):
        raise StackError(
            f"The record of the release {release.id} cannot be read.",
            evidence=f"{release.reason}\n{overview}",
            fix="Choose another release.",
        )
    if not was_deployed(release) and release.id != active:
        raise StackError(
            f"The release {release.id} never was deployed: its outcome is {release.outcome}.",
            evidence=overview,
            fix="Choose a release that was.",
        )
    return release


@dataclass(frozen=True)
class DatabaseStep:
    """What has to be done to the database before an old release can run on it, so that nothing is lost unasked."""

    way: t.Literal["downgrade", "restore"]
    revision: str
    dump: str = ""


def database_step(
    target: Release,
    revision: str,
    wish: str,
    *,
    undone: t.Sequence[Revision],
    complaint: str,
    dump: Dump | None,
) -> DatabaseStep | None:
    """Return what ``wish`` (empty, ``downgrade`` or ``restore``) asks for; None where the release knows the revision.

    ``undone`` are the migrations that a way down takes back, ``complaint`` why there is none; ``dump`` is the newest at
    the revision of the release. Raises StackError that offers precisely what can be done.
    """
    if target.revision == revision:
        return None
    if not target.revision:
        raise StackError(
            f"The release {target.id} does not say which revision of the database it knows.",
            evidence=f"The database is at revision {revision}; the record of the release holds none.",
            fix="Deploy forward: a new release with the code you want.",
        )
    if wish == "downgrade" and not complaint:
        return DatabaseStep("downgrade", target.revision)
    if wish == "restore" and dump:
        return DatabaseStep("restore", target.revision, dump.name)
    steps = ", ".join(f"{item.id} ({item.message})" if item.message else item.id for item in undone)
    down = complaint or f"takes back {steps}, in the image that knows the way, after a dump"
    back = f"puts {dump.name} in place, of {dump.created}; what was written since is put aside" if dump else "no dump"
    raise StackError(
        f"The database is at a revision that the release {target.id} does not know.",
        evidence=f"In force: {revision or '(empty)'}. The release was deployed with: {target.revision}.\n"
        f"rollback_database=downgrade: {down}.\n"
        f"rollback_database=restore: {back}{'' if dump else f' at revision {target.revision} is here'}.",
        fix="Deploy forward: a new release with the fault corrected. Or say what becomes of the data: "
        "-e rollback_database=downgrade, or -e rollback_database=restore.",
    )


def images_are_gone(target: Release, missing: t.Mapping[str, str], others: t.Sequence[str]) -> StackError:
    """Explain that images of the release are gone; ``missing`` maps service -> image.

    ``others`` are the ids of releases that have theirs.
    """
    instead = f" These have theirs: {', '.join(others)}." if others else ""
    return StackError(
        f"Images of the release {target.id} are no longer on this host.",
        evidence="\n".join(f"{service}: {image}" for service, image in sorted(missing.items())),
        fix=f"Deploy the version of the source that the release was built from: that builds them anew.{instead}",
    )


def describe(entries: t.Iterable[Release | Broken], active: str) -> str:
    """Return a line on each release."""
    lines = []
    for entry in entries:
        mark = " (current)" if entry.id == active else ""
        if isinstance(entry, Broken):
            lines.append(f"{entry.id}{mark}: broken")
        else:
            when = f" {entry.deployed}" if entry.deployed else ""
            revision = f", revision {entry.revision}" if entry.revision else ""
            lines.append(f"{entry.id}{mark}: {entry.outcome}{when}{revision}")
    return "\n".join(lines) or "There are no releases."


def _too_old(release: Release, days: int, now: datetime) -> bool:
    return days > 0 and moment(release.deployed or release.created) < now - timedelta(days=days)


def _repository(tag: str) -> str:
    # host:5000/name has a colon that begins no tag.
    head, colon, tail = tag.rpartition(":")
    return head if colon and "/" not in tail else tag
