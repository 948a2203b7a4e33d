# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents tell a reader to type: their blocks, their commands in running text, their links."""

from __future__ import annotations

import re
import shlex
import typing as t
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*/README.md", "roles/*/README.md")
    for path in REPOSITORY.glob(pattern)
)
SHELL = ("console", "sh", "bash", "shell")
# What begins like this inside `code` of running text is meant to be typed.
TYPED = re.compile(r"\./run |ansible-[a-z]+ |cd /|pnpm ")


@dataclass(frozen=True)
class Snippet:
    """A fenced block, or a command in running text (``kind`` is then ``console``)."""

    path: Path
    line: int
    kind: str
    text: str

    @property
    def place(self) -> str:
        """Return ``file:line``, as an editor takes it."""
        path = self.path.relative_to(REPOSITORY) if self.path.is_relative_to(REPOSITORY) else self.path
        return f"{path}:{self.line}"

    @property
    def needs_demo(self) -> bool:
        """Return whether this is typed on a host where the demo's stack runs."""
        return self.kind in SHELL and bool(re.search(r"^(cd /srv/|docker )", self.text, re.MULTILINE))


def read(path: Path) -> list[Snippet]:
    """Return everything in a document that is verified, in its order."""
    found: list[Snippet] = []
    fence, kind, start, inside = "", "", 0, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        mark = re.match(r"\s*(```+|~~~+)\s*(\S*)", line)
        if fence:
            if mark and mark[1] == fence and not mark[2]:
                found.append(Snippet(path, start, kind, "\n".join(inside) + "\n"))
                fence = ""
            else:
                inside.append(line)
        elif mark:
            fence, kind, start, inside = mark[1], mark[2], number, []
        else:
            spans = [match[2].strip() for match in re.finditer(r"(`+)(.+?)\1(?!`)", line)]
            found += [Snippet(path, number, "console", text) for text in spans if TYPED.match(text)]
    if fence:
        raise ValueError(f"{path}:{start}: the block is not closed")
    return found


def snippets() -> list[Snippet]:
    """Return what all documents hold."""
    return [snippet for path in DOCUMENTS for snippet in read(path)]


def commands(shell: str) -> t.Iterator[list[str]]:
    """Yield the words of each simple command of a shell script, without prompts and comments."""
    for line in shell.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in words:
            if word and set(word) <= set("&|;()"):
                if command:
                    yield command
                command = []
            else:
                command.append(word)
        if command:
            yield command


def prose(path: Path) -> str:
    """Return a document without its blocks and code."""
    text = re.sub(r"^\s*(```+|~~~+).*?^\s*\1\s*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(.+?)\1(?!`)", "", text)


def links(path: Path) -> list[str]:
    """Return the targets of a document's links and images."""
    text = prose(path)
    return re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)


def anchors(path: Path) -> set[str]:
    """Return what a link can lead to inside a document: its headings, spelled as GitHub does."""
    without_blocks = re.sub(
        r"^\s*(```+|~~~+).*?^\s*\1\s*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+\s+(.+?)\s*#*$", without_blocks, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
