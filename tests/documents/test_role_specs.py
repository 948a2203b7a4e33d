# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults, argument specs and READMEs of the roles say the same."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.shipshape.stack.docs import generate_role_readmes as generator
from ansible_collections.shipshape.stack.tests.documents import documents

ROLES = sorted(path for path in (documents.REPOSITORY / "roles").iterdir() if path.is_dir())


def load(path: Path) -> dict[str, t.Any]:
    content: dict[str, t.Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return content


def differences(role: str, defaults: dict[str, t.Any], options: dict[str, t.Any]) -> list[str]:
    """Return a sentence for every option that the two files do not agree on."""
    found = []
    for name in sorted({*defaults, *options}):
        where = f"{role}: {name}"
        if name not in options:
            found.append(f"{where} = {defaults[name]!r} in defaults/main.yml is not in meta/argument_specs.yml")
        elif options[name].get("required"):
            if name in defaults or "default" in options[name]:
                found.append(f"{where} is required and has a default")
        elif name not in defaults:
            found.append(f"{where} in meta/argument_specs.yml is not in defaults/main.yml")
        elif "default" not in options[name]:
            found.append(f"{where} = {defaults[name]!r} in defaults/main.yml has no default in meta/argument_specs.yml")
        # As text: to Python, 1 and true are equal.
        elif json.dumps(defaults[name]) != json.dumps(options[name]["default"]):
            found.append(
                f"{where} = {defaults[name]!r} in defaults/main.yml, "
                f"{options[name]['default']!r} in meta/argument_specs.yml"
            )
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_defaults_and_argument_specs_are_the_same(role: Path) -> None:
    options = generator.all_options(role / "meta/argument_specs.yml")
    found = differences(role.name, load(role / "defaults/main.yml"), options)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("defaults", "option", "complaint"),
    [
        ({"a": 1}, {"default": 2}, "x: a = 1 in defaults/main.yml, 2 in meta/argument_specs.yml"),
        ({"a": 1}, {"default": True}, "x: a = 1 in defaults/main.yml, True in meta/argument_specs.yml"),
        ({"a": "1"}, {"default": 1}, "x: a = '1' in defaults/main.yml, 1 in meta/argument_specs.yml"),
        ({"a": None}, {}, "x: a = None in defaults/main.yml has no default in meta/argument_specs.yml"),
        ({}, {"default": 1}, "x: a in meta/argument_specs.yml is not in defaults/main.yml"),
        ({"a": 1}, None, "x: a = 1 in defaults/main.yml is not in meta/argument_specs.yml"),
        ({"a": 1}, {"required": True}, "x: a is required and has a default"),
        ({}, {"required": True}, ""),
        ({"a": 1}, {"default": 1}, ""),
    ],
)
def test_each_kind_of_difference_is_named(
    defaults: dict[str, t.Any], option: dict[str, t.Any] | None, complaint: str
) -> None:
    assert "\n".join(differences("x", defaults, {} if option is None else {"a": option})) == complaint


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_readme_of_the_role_is_up_to_date(role: Path) -> None:
    path = role / "README.md"
    text = generator.readmes()[path]
    place = path.relative_to(documents.REPOSITORY)
    assert path.exists() and path.read_text(encoding="utf-8") == text, f"{place} is stale: write it anew, ./run readmes"


def test_every_role_has_a_readme() -> None:
    assert {path.parent for path in generator.readmes()} == set(ROLES)


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_long_defaults_in_the_readme_are_the_defaults(role: Path) -> None:
    options = generator.entry_point(role / "meta/argument_specs.yml")["options"]
    shown: dict[str, t.Any] = {}
    for snippet in documents.read(role / "README.md"):
        content = yaml.safe_load(snippet.text) if snippet.kind == "yaml" else None
        shown |= content if isinstance(content, dict) else {}
    assert set(shown) == {name for name, option in options.items() if generator.is_long(option)}
    for name, value in shown.items():
        stated = options[name]["default"]
        if isinstance(stated, str):
            assert value.split() == generator.in_users_words(stated).split(), name
        else:
            assert value == stated, name


@pytest.mark.parametrize(
    ("ansible", "markdown"),
    [
        ("In C(/srv/<stack>).", "In `/srv/<stack>`."),
        ("V(auto\\) or not) and O(a.b) in E(HOME)", "`auto) or not` and `a.b` in `HOME`"),
        ("B(bold) and I(italic)", "**bold** and *italic*"),
        ("See L(the docs,https://example.com/a_b).", "See [the docs](https://example.com/a_b)."),
        ("U(https://example.com)", "<https://example.com>"),
        ("R(a page, some_ref) of M(ansible.builtin.apt)", "a page of `ansible.builtin.apt`"),
        ("The role P(shipshape.stack.stack#role).", "The role [stack](../stack)."),
        ("P(ansible.builtin.file#lookup)", "`ansible.builtin.file`"),
        ("C(a | b) and c | d", "`a | b` and c | d"),
        ("C(`x`)", "`` `x` ``"),
        ("A list [*] of <things>", r"A list \[\*\] of \<things>"),
        ("Written by NASA(x), not markup", "Written by NASA(x), not markup"),
    ],
)
def test_ansible_markup_becomes_markdown(ansible: str, markdown: str) -> None:
    assert generator.markdown(ansible) == markdown


def test_table_shows_what_is_inside_an_option_its_default_and_its_choices() -> None:
    pool = {"b": {"type": "int", "required": True, "description": "Size."}}
    inside = {"e": {"description": "Inside."}}
    options = {
        "a": {"type": "list", "elements": "dict", "default": [], "description": "Pools.", "options": pool},
        "c": {"type": "str", "choices": ["x", "y"], "default": "x", "description": ["One.", "Two, V(x)."]},
        "d": {"type": "dict", "default": {}, "description": "Map.", "options": inside},
        "f": {"type": "str", "default": "1", "description": "Text."},
        "g": {"type": "str", "default": "{{ stack_model.root }}/x", "description": "C(a | b) | c."},
        "h": {"default": "", "description": "Empty."},
    }
    assert generator.table(options).splitlines()[2:] == [
        "| `a` | list of dict | `[]` | Pools. |",
        "| `a[].b` | int | required | Size. |",
        "| `c` | str | `x` | One.<br>Two, `x`.<br>Choices: `x`, `y`. |",
        "| `d` | dict | `{}` | Map. |",
        "| `d.e` | str |  | Inside. |",
        '| `f` | str | `"1"` | Text. |',
        "| `g` | str | `{{ stack_root }}/x` | `a \\| b` \\| c. |",
        '| `h` | str | `""` | Empty. |',
    ]
