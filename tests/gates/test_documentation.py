# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-doc` shows every plugin and role of the collection, on each line of ansible-core; antsibull-docs agrees."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.shipshape.stack.tests.gates.collection import REPOSITORY, Core, Finished, cores, stage

COLLECTION = "shipshape.stack"
CORES = cores()
# Pattern of a warning that is accepted -> why.
ACCEPTED = {
    r"ansible/_protomatter' does not have a MANIFEST\.json": "ansible-core 2.21 trips over a collection of its own",
}
# Directories below plugins/ that hold no plugin. An action's documentation is that of the module of its name.
NO_PLUGINS = {"module_utils", "plugin_utils", "doc_fragments", "action"}


def documented() -> dict[str, list[str]]:
    """Return kind, as ansible-doc calls it -> names of what the source tree holds."""
    found = {"role": sorted(path.name for path in (REPOSITORY / "roles").iterdir() if path.is_dir())}
    for folder in (REPOSITORY / "plugins").iterdir():
        names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
        if names and folder.name not in NO_PLUGINS:
            found[folder.name.removesuffix("s") if folder.name == "modules" else folder.name] = names
    return found


def shown(core: Core, *arguments: str) -> Finished:
    """Run ansible-doc. Fails unless it ends well and has nothing to say but documentation."""
    done = core.run("ansible-doc", *arguments, ANSIBLE_CONFIG=str(REPOSITORY / "ansible.cfg"), PAGER="cat")
    said = [line for line in done.stderr.splitlines() if line.strip()]
    new = [line for line in said if not any(re.search(pattern, line) for pattern in ACCEPTED)]
    if done.returncode != 0 or new:
        done.refuse("\n".join(["failed or warned", *new]))
    return done


def lacking(kind: str, page: dict[str, t.Any]) -> list[str]:
    """Return which parts of a page are missing or empty."""
    if kind == "role":
        entry = page.get("entry_points", {}).get("main", {})
        return [part for part in ("short_description", "description", "options") if not entry.get(part)]
    parts = {part: page["doc"].get(part) for part in ("short_description", "description", "options")}
    if kind == "module":
        parts |= {"RETURN": page.get("return"), "EXAMPLES": (page.get("examples") or "").strip()}
    if kind == "vars":
        # A vars plugin may have nothing to set.
        del parts["options"]
    lacking = [part for part, content in parts.items() if not content]
    lacking += [
        f"options.{name}.description"
        for name, option in page["doc"].get("options", {}).items()
        if not option.get("description")
    ]
    return lacking


@pytest.mark.parametrize("kind", sorted(documented()))
@pytest.mark.parametrize("core", CORES, ids=lambda core: f"ansible-core {core.version}")
def test_every_page_is_shown_and_complete(core: Core, kind: str) -> None:
    names = [f"{COLLECTION}.{name}" for name in documented()[kind]]
    pages = json.loads(shown(core, "--type", kind, "--json", *names).stdout)
    assert sorted(pages) == names
    incomplete = {name: parts for name, page in pages.items() if (parts := lacking(kind, page))}
    assert not incomplete
    text = shown(core, "--type", kind, *names).stdout
    assert [name for name in names if name.removeprefix(f"{COLLECTION}.") not in text] == []


@pytest.mark.parametrize("core", CORES, ids=lambda core: f"ansible-core {core.version}")
def test_the_list_names_nothing_else(core: Core) -> None:
    for kind, names in documented().items():
        listed = json.loads(shown(core, "--type", kind, "--json", "--list", COLLECTION).stdout)
        assert sorted(listed) == [f"{COLLECTION}.{name}" for name in names]


def test_every_action_has_a_module_that_documents_it() -> None:
    actions = {path.stem for path in (REPOSITORY / "plugins/action").glob("*.py")}
    assert actions <= set(documented()["module"])


def test_antsibull_docs_finds_nothing(tmp_path: Path) -> None:
    root = stage(tmp_path)
    done = CORES[-1].run(
        "antsibull-docs",
        "lint-collection-docs",
        "--plugin-docs",
        # References to other collections are looked up in those that are installed, ansible.builtin among them.
        "--validate-collection-refs=dependent",
        "--disallow-unknown-collection-refs",
        "--check-extra-docs-refs",
        str(root),
        cwd=root,
        ANSIBLE_COLLECTIONS_PATH=str(tmp_path),
        ANSIBLE_CONFIG=str(root / "ansible.cfg"),
    )
    if done.returncode != 0 or done.output.strip():
        done.refuse("found something")
