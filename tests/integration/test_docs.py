# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents tell a reader to type on the host works on the running demo (`./run demo`).

All other blocks are verified by tests/documents/test_documents.py.
"""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.shipshape.stack.tests.documents import documents
from ansible_collections.shipshape.stack.tests.documents.documents import Snippet

TYPED_ON_THE_HOST = [snippet for snippet in documents.snippets() if snippet.needs_demo]


@pytest.mark.parametrize("snippet", TYPED_ON_THE_HOST, ids=lambda snippet: snippet.place)
def test_commands_work_on_the_running_stack(snippet: Snippet) -> None:
    # From anywhere, stopping at the first command that fails; -x names that one.
    typed = ["bash", "-euxo", "pipefail", "-c", snippet.text]
    done = subprocess.run(typed, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{snippet.place}:\n{done.stdout}{done.stderr}"
    assert done.stdout.strip(), f"{snippet.place}: prints nothing\n{done.stderr}"


def test_the_readme_shows_how_to_work_without_the_collection() -> None:
    assert [snippet for snippet in TYPED_ON_THE_HOST if snippet.path == documents.REPOSITORY / "README.md"]
