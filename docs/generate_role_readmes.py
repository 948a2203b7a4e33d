# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write roles/*/README.md from roles/*/meta/argument_specs.yml: `./run readmes`."""

from __future__ import annotations

import re
import sys
import textwrap
import typing as t
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
COLLECTION = "shipshape.stack"
NOTICE = "<!-- Written by `./run readmes` from meta/argument_specs.yml: change it there. -->"
WIDTH = 120
LONGEST_DEFAULT = 80
"""Characters of a default that is still readable in a table."""

Spec = t.Mapping[str, t.Any]

# Ansible markup, see "Ansible markup" in the developer guide. In the second group `\)` stands for a bracket.
_PLAIN = r"(?P<kind>[BIMCULR])\((?P<text>[^)]*)\)"
_SEMANTIC = r"(?P<named>[VOEP]|RV)\((?P<escaped>(?:\\.|[^\\)])*)\)"
_MARKUP = re.compile(rf"\b(?:{_PLAIN}|{_SEMANTIC})|HORIZONTALLINE")


def main() -> int:
    """Write the files that differ and name them."""
    for path, text in readmes().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(REPOSITORY))
    return 0


def readmes() -> dict[Path, str]:
    """Return the README of every role by its path."""
    return {
        path.parents[1] / "README.md": readme(path.parents[1].name, entry_point(path), others(path))
        for path in sorted(REPOSITORY.glob("roles/*/meta/argument_specs.yml"))
    }


def entry_points(path: Path) -> dict[str, Spec]:
    """Return all entry points of an argument_specs.yml."""
    specs: dict[str, Spec] = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
    return specs


def entry_point(path: Path) -> Spec:
    """Return the entry point `main` of an argument_specs.yml."""
    return entry_points(path)["main"]


def others(path: Path) -> dict[str, Spec]:
    """Return the entry points of an argument_specs.yml that are used by `tasks_from`."""
    return {name: spec for name, spec in entry_points(path).items() if name != "main"}


def all_options(path: Path) -> dict[str, Spec]:
    """Return the options of all entry points of an argument_specs.yml."""
    return {name: option for spec in entry_points(path).values() for name, option in spec["options"].items()}


def readme(role: str, spec: Spec, more: t.Mapping[str, Spec]) -> str:
    """Return the README of one role; ``more`` are its entry points beside `main`."""
    options: t.Mapping[str, Spec] = spec.get("options") or {}
    parts = [
        f"# {COLLECTION}.{role}",
        f"{NOTICE}\n{spec['short_description']}.",
        *paragraphs(spec),
        "## Example",
        code(spec["examples"]),
        "## Options",
        table(options),
        *long_defaults(options),
        *(part for name, other in more.items() for part in section(name, other)),
        f"`ansible-doc -t role {COLLECTION}.{role}` shows the same. "
        "[All roles](../../README.md#roles-in-the-order-data-flows-through-them)",
    ]
    return "\n\n".join(parts) + "\n"


def section(name: str, spec: Spec) -> list[str]:
    """Return the section on an entry point that is used by `tasks_from`."""
    title = f"## Entry point `{name}`"
    return [title, f"{spec['short_description']}.", *paragraphs(spec), table(spec.get("options") or {})]


def paragraphs(spec: Spec) -> list[str]:
    """Return the description, filled."""
    filled = textwrap.TextWrapper(WIDTH, break_on_hyphens=False, break_long_words=False).fill
    return [filled(markdown(line)) for line in lines(spec)]


def table(options: t.Mapping[str, Spec]) -> str:
    """Return the options as a Markdown table; what is inside an option follows it."""
    if not options:
        return "This role has no options."
    rows = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for name, option in flat(options):
        cells = [code_span(name), kind(option), default(name, option), meaning(option)]
        # GitHub: a bar ends the cell, even inside of code.
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows)


def flat(options: t.Mapping[str, Spec], prefix: str = "") -> t.Iterator[tuple[str, Spec]]:
    """Yield every option with its full name: `pools[].base` is in each element of the list `pools`."""
    for name, option in options.items():
        yield prefix + name, option
        inside = "[]." if option.get("elements") == "dict" else "."
        yield from flat(option.get("options") or {}, f"{prefix}{name}{inside}")


def kind(option: Spec) -> str:
    """Return the type as a user would say it."""
    name = option.get("type", "str")
    return f"list of {option['elements']}" if name == "list" and "elements" in option else name


def default(name: str, option: Spec) -> str:
    """Return the table's cell for the default."""
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    if is_long(option):
        return f"[see below](#{name})"
    return code_span(short(option["default"]))


def meaning(option: Spec) -> str:
    """Return the table's cell for the description, with the choices where it does not name them all."""
    text = "<br>".join(markdown(line) for line in lines(option))
    choices = [code_span(choice if isinstance(choice, str) else flow(choice)) for choice in option.get("choices", [])]
    if any(choice not in text for choice in choices):
        text += f"<br>Choices: {', '.join(choices)}."
    return text.replace("\n", " ")


def long_defaults(options: t.Mapping[str, Spec]) -> list[str]:
    """Return a section for the defaults that do not fit into the table."""
    long = {name: option["default"] for name, option in flat(options) if is_long(option)}
    if not long:
        return []
    parts = ["## Long defaults"]
    for name, value in long.items():
        parts += [f"### {name}", code(as_yaml(name.split(".")[-1], value))]
    return parts


def is_long(option: Spec) -> bool:
    """Return whether the default is better shown as a block."""
    return len(short(option.get("default"))) > LONGEST_DEFAULT


def as_yaml(name: str, value: t.Any) -> str:
    """Return a default as it would be written into an inventory."""
    if isinstance(value, str):
        filled = textwrap.fill(in_users_words(value), 100, break_on_hyphens=False, break_long_words=False)
        return f"{name}: >-\n{textwrap.indent(filled, '  ')}"
    return yaml.dump({name: value}, Dumper=_Indented, sort_keys=False, width=WIDTH)


def short(value: t.Any) -> str:
    """Return a default on one line; text is quoted only where YAML would take it for something else."""
    if not isinstance(value, str):
        return flow(value)
    if not value:
        return '""'
    if "{{" in value:
        # White space means nothing in an expression.
        return in_users_words(" ".join(value.split()))
    return value if _is_plain(value) else f'"{value}"'


def flow(value: t.Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def in_users_words(value: str) -> str:
    """Return a default that reads the completed declaration in terms of the variable the user set."""
    stated = entry_point(REPOSITORY / "roles/stack/meta/argument_specs.yml")["options"]

    def variable(match: re.Match[str]) -> str:
        name = f"stack_{match[1]}"
        # The model holds these as they were stated; other parts of it, such as the services, are completed.
        return name if stated.get(name, {}).get("type") in ("str", "path") else match[0]

    return re.sub(r"\bstack_model\.(\w+)", variable, value)


def lines(spec: Spec) -> list[str]:
    """Return a description as the list it may be."""
    description = spec["description"]
    return [description] if isinstance(description, str) else list(description)


def markdown(text: str) -> str:
    """Return text with Ansible markup as Markdown."""
    parts, end = [], 0
    for match in _MARKUP.finditer(text):
        parts += [_escape(text[end : match.start()]), _rendered(match)]
        end = match.end()
    return "".join([*parts, _escape(text[end:])])


def code(text: str) -> str:
    """Return a YAML block."""
    return f"```yaml\n{text.strip()}\n```"


def code_span(text: str) -> str:
    """Return inline code, whatever backticks are in it."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _rendered(match: re.Match[str]) -> str:
    if match[0] == "HORIZONTALLINE":
        return "\n\n---\n\n"
    if match["named"]:
        text = re.sub(r"\\(.)", r"\1", match["escaped"])
        return _plugin(text) if match["named"] == "P" else code_span(text)
    text = match["text"]
    match match["kind"]:
        case "B":
            return f"**{_escape(text)}**"
        case "I":
            return f"*{_escape(text)}*"
        case "U":
            return f"<{text}>"
        case "L":
            label, _comma, url = text.rpartition(",")
            return f"[{_escape(label.strip())}]({url.strip()})"
        case "R":
            return _escape(text.rpartition(",")[0].strip())
        case _:
            return code_span(text)


def _plugin(reference: str) -> str:
    """Return what a P(name#type) stands for; roles of this collection have a README to go to."""
    name, _hash, plugin_type = reference.partition("#")
    role = name.removeprefix(f"{COLLECTION}.")
    if plugin_type == "role" and (REPOSITORY / "roles" / role).is_dir():
        return f"[{role}](../{role})"
    return code_span(name)


def _is_plain(value: str) -> bool:
    try:
        return bool(yaml.safe_load(value) == value)
    except yaml.YAMLError:
        return False


def _escape(text: str) -> str:
    return re.sub(r"([\\*<\[\]])", r"\\\1", text)


class _Indented(yaml.SafeDumper):
    """Indents lists below their key, as the rest of the repository does."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


if __name__ == "__main__":
    sys.exit(main())
