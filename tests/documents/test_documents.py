# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything the documents tell a reader to type or to write works, and their links lead somewhere.

A block is verified by its language, a command by its program: see LANGUAGES and PROGRAMS. What is typed on the host of
a running stack is run by tests/integration/test_docs.py.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import typing as t
from pathlib import Path

import jinja2
import pytest
import yaml

from ansible_collections.shipshape.stack.docs import generate_role_readmes as generator
from ansible_collections.shipshape.stack.plugins.module_utils import _declaration
from ansible_collections.shipshape.stack.tests.documents import documents
from ansible_collections.shipshape.stack.tests.documents.documents import DOCUMENTS, REPOSITORY, Snippet

SNIPPETS = documents.snippets()


class Wrong(Exception):
    """A document says something that does not work."""


def verify(snippet: Snippet) -> None:
    """Verify a snippet by its kind. Raises Wrong with the place and what is the matter."""
    verifier = LANGUAGES.get(snippet.kind)
    if verifier is None:
        raise Wrong(f"{snippet.place}: say how this block is verified: `{snippet.kind}` is not in LANGUAGES")
    try:
        verifier(snippet)
    except Wrong as wrong:
        raise Wrong(f"{snippet.place}: {wrong}") from None


def shell(snippet: Snippet) -> None:
    parsed = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    if parsed.returncode or parsed.stderr:
        raise Wrong(f"bash cannot parse it: {parsed.stderr.strip()}")
    at = snippet.path.parent if snippet.path.is_relative_to(REPOSITORY / "examples") else REPOSITORY
    for command in documents.commands(snippet.text):
        verifier = PROGRAMS.get(command[0])
        if verifier is None:
            raise Wrong(f"say how this block is verified: `{command[0]}` is not in PROGRAMS")
        at = verifier(command, at, snippet) or at


def change_directory(command: list[str], at: Path, snippet: Snippet) -> Path | None:
    if snippet.needs_demo:
        return None
    target = at / command[1]
    if not target.is_dir():
        raise Wrong(f"there is no directory {target.resolve()}")
    return target


def run_subcommand(command: list[str], _at: Path, _snippet: Snippet) -> None:
    known = subcommands()
    name, *arguments = command[1:] or [""]
    if name not in known:
        raise Wrong(f"`./run help` does not know `{name}`")
    unknown = [argument for argument in arguments if argument.startswith("-") and argument not in known[name]]
    if unknown:
        raise Wrong(f"`./run help` does not name the option {unknown[0]} of `{name}`")


def ansible_playbook(command: list[str], at: Path, _snippet: Snippet) -> None:
    failed, output = ansible((*command, "--syntax-check"), at)
    if failed:
        raise Wrong(f"{' '.join(command)}: {output}")


def ansible_doc(command: list[str], at: Path, _snippet: Snippet) -> None:
    failed, output = ansible(tuple(command), at)
    # What it does not find is a warning to it.
    if failed or "[WARNING]" in output:
        raise Wrong(f"{' '.join(command)}: {output}")


def on_the_host(_command: list[str], _at: Path, snippet: Snippet) -> None:
    if not snippet.needs_demo:
        raise Wrong("tests/integration/test_docs.py does not run this")


def package_script(command: list[str], at: Path, _snippet: Snippet) -> None:
    if command[1] == "install":
        return
    package = at / "package.json" if (at / "package.json").exists() else at / "apps/frontend/package.json"
    if command[1] not in json.loads(package.read_text())["scripts"]:
        raise Wrong(f"{package} has no script `{command[1]}`")


def uv(command: list[str], at: Path, _snippet: Snippet) -> None:
    if command[1] == "sync":
        return
    project = tomllib.loads((at / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project.get("dependency-groups", {}).values()]
    names = {re.split(r"[\[<>=~! ]", str(requirement))[0] for group in groups for requirement in group}
    if command[1] != "run" or command[2] not in names:
        raise Wrong(f"`{' '.join(command[1:3])}`: {at / 'pyproject.toml'} does not have it")
    paths = [argument for argument in command[3:] if "/" in argument]
    if missing := [path for path in paths if not (at / path).exists()]:
        raise Wrong(f"there is no {missing[0]} in {at}")


def yaml_block(snippet: Snippet) -> None:
    try:
        content = yaml.safe_load(snippet.text)
    except yaml.YAMLError as error:
        raise Wrong(f"not YAML: {error}") from None
    if isinstance(content, list):
        for play in content:
            playbook_roles(play)
    elif isinstance(content, dict):
        # The variables of a molecule.yml, or what an inventory holds.
        variables(content["provisioner"]["inventory"]["group_vars"]["all"] if "provisioner" in content else content)
    else:
        raise Wrong("neither variables nor a playbook")


def playbook_roles(play: dict[str, t.Any]) -> None:
    declared = dict(play.get("vars", {}))
    for role in play["roles"]:
        name, parameters = role["role"].removeprefix("shipshape.stack."), {k: v for k, v in role.items() if k != "role"}
        if name not in options():
            raise Wrong(f"there is no role {role['role']}")
        if unknown := set(parameters) - set(options()[name]):
            raise Wrong(f"the role {name} has no option {', '.join(sorted(unknown))}")
        declared |= parameters
    variables(declared)


def variables(content: dict[str, t.Any]) -> None:
    known = {option for role in options().values() for option in role}
    if unknown := set(content) - known:
        raise Wrong(f"no role has an option {', '.join(sorted(unknown))}")
    if "stack_domain" in content and (found := _declaration.problems(declaration(content))):
        raise Wrong("; ".join(str(problem) for problem in found))


def diagram(snippet: Snippet) -> None:
    for name in sorted(set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", snippet.text))):
        if not re.search(rf"\b{name}\b", sources()):
            raise Wrong(f"nothing in roles/ and plugins/ is called {name}")


LANGUAGES: dict[str, t.Callable[[Snippet], None]] = {
    **dict.fromkeys(documents.SHELL, shell),
    "yaml": yaml_block,
    "text": diagram,
}
PROGRAMS: dict[str, t.Callable[[list[str], Path, Snippet], Path | None]] = {
    "./run": run_subcommand,
    "ansible-playbook": ansible_playbook,
    "ansible-doc": ansible_doc,
    "cd": change_directory,
    "docker": on_the_host,
    "pnpm": package_script,
    "uv": uv,
    # Only changes the shell that types it: parsed.
    "export": lambda _command, _at, _snippet: None,
}


@functools.cache
def subcommands() -> dict[str, set[str]]:
    """Return the subcommands that `./run help` names and `run` acts on, each with its options."""
    text = subprocess.run(["./run", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    dispatch = (REPOSITORY / "run").read_text().split("\ncase ${1:-} in\n")[-1]
    handled = {
        word.strip() for line in re.findall(r"^ +([\w| -]+)\)", dispatch, re.MULTILINE) for word in line.split("|")
    }
    found = {}
    for usage in re.findall(r"^  (\S.*?)  +\S", text, re.MULTILINE):
        for alternative in usage.split("|"):
            name, *arguments = alternative.split()
            if name in handled:
                found[name] = set(re.findall(r"--[\w-]+", " ".join(arguments)))
    return found


@functools.cache
def ansible(command: tuple[str, ...], at: Path) -> tuple[bool, str]:
    """Run one of Ansible's programs from beside this Python; return whether it failed, and its output."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which(command[0], path=beside)
    if program is None:
        raise Wrong(f"there is no program {command[0]}")
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        # Without this an inventory that does not exist is only warned of.
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
        "PAGER": "cat",
    }
    done = subprocess.run(
        [program, *command[1:]],
        cwd=at,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    # ansible-core 2.21 looks at all roles there are, and trips over a collection of its own.
    said = [
        line for line in done.stderr.splitlines() if "ansible/_protomatter' does not have a MANIFEST.json" not in line
    ]
    return done.returncode != 0, "\n".join([done.stdout, *said])


@functools.cache
def options() -> dict[str, dict[str, t.Any]]:
    """Return the options of each role with their specs."""
    return {
        path.parents[1].name: generator.all_options(path) for path in REPOSITORY.glob("roles/*/meta/argument_specs.yml")
    }


def declaration(stated: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what the user stated, completed with the defaults, templates filled in."""
    defaults = {name: option["default"] for name, option in options()["stack"].items()}
    values = {**defaults, **stated}
    return {
        name: jinja2.Template(value).render(values) if isinstance(value, str) and "lookup(" not in value else value
        for name, value in values.items()
    }


@functools.cache
def sources() -> str:
    """Return the text of all roles and plugins, and the names of their files."""
    files = [path for folder in ("roles", "plugins") for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
    texts = [path.read_text() for path in files if path.suffix in (".yml", ".py", ".j2")]
    return "\n".join([*(str(path.relative_to(REPOSITORY)).replace("/", " ") for path in files), *texts])


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: f"{snippet.place} {snippet.kind}")
def test_what_the_documents_tell_a_reader_works(snippet: Snippet) -> None:
    verify(snippet)


def test_examples_of_the_roles_are_playbooks(tmp_path: Path) -> None:
    plays = [text.text for text in SNIPPETS if text.path.parent.parent.name == "roles" and text.text.startswith("- ")]
    assert len(plays) == len(options())
    playbook = tmp_path / "examples.yml"
    playbook.write_text("\n".join(plays))
    failed, output = ansible(("ansible-playbook", "--syntax-check", "-i", "localhost,", str(playbook)), REPOSITORY)
    assert not failed, output


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for target in documents.links(document):
        if re.match(r"[a-z]+:", target):
            continue
        name, _hash, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists() or (anchor and anchor not in documents.anchors(file)):
            dead.append(target)
    assert not dead, f"{document.relative_to(REPOSITORY)}: {', '.join(dead)} leads nowhere"


def test_images_are_shown_somewhere() -> None:
    shown = {(document.parent / target).resolve() for document in DOCUMENTS for target in documents.links(document)}
    assert set((REPOSITORY / "docs/images").iterdir()) <= shown


WRONG = [
    ("```ruby\nputs 1\n```", "say how this block is verified"),
    ("```\nanything\n```", "say how this block is verified"),
    ("```console\nmake install\n```", "say how this block is verified: `make`"),
    ("```console\nif true; then\n```", "bash cannot parse it"),
    ("```console\n./run dmeo\n```", "does not know `dmeo`"),
    ("```console\n./run demo-down --volume\n```", "--volume of `demo-down`"),
    ("Type `./run dmeo`.", "does not know `dmeo`"),
    ("```console\nansible-playbook -i inventory/local playbooks/sight.yml\n```", "sight.yml"),
    ("```console\nansible-playbook -i inventory/lokal playbooks/site.yml\n```", "inventory/lokal"),
    ("```console\nansible-playbook -i inventory/local playbooks/site.yml --chekc\n```", "--chekc"),
    ("`ansible-doc shipshape.stack.compose_down`", "compose_down"),
    ("```sh\ncd apps/nowhere\n```", "no directory"),
    ("```sh\ncd examples/monorepo/apps/backend\nuv run pylint\n```", "run pylint"),
    ("```sh\ncd examples/monorepo/apps/frontend && pnpm lint\n```", "no script `lint`"),
    ("```yaml\na: [\n```", "not YAML"),
    ("```yaml\nstack_nmae: shop\n```", "no role has an option stack_nmae"),
    ("```yaml\nstack_domain: https://shop.example.com\n```", "stack_domain: expected a host name"),
    ("```yaml\n- hosts: all\n  roles: [{role: shipshape.stack.edge}]\n```", "no role shipshape.stack.edge"),
    (
        "```yaml\n- hosts: all\n  roles: [{role: shipshape.stack.stack, stack_nmae: a}]\n```",
        "the role stack has no option stack_nmae",
    ),
    ("```text\ncompose_down\n```", "nothing in roles/ and plugins/ is called compose_down"),
]


@pytest.mark.parametrize(("text", "complaint"), WRONG, ids=[complaint for _text, complaint in WRONG])
def test_what_does_not_work_is_found(text: str, complaint: str, tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    document.write_text(f"# Title\n\n{text}\n")
    [snippet] = documents.read(document)
    with pytest.raises(Wrong, match=rf"(?s)wrong\.md:3: .*{re.escape(complaint)}"):
        verify(snippet)


def test_block_that_is_not_closed_is_found(tmp_path: Path) -> None:
    document = tmp_path / "open.md"
    document.write_text("```console\n./run demo\n")
    with pytest.raises(ValueError, match=r"open\.md:1: the block is not closed"):
        documents.read(document)
