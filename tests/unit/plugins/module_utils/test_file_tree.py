# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory that is equal to the declared files, whatever they hold."""

from __future__ import annotations

import base64
import getpass
import types
import typing as t
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.modules import file_tree

BINARY = bytes(range(256))


def sync(root: Path, files: dict[str, str], *, binary: bytes = BINARY, check_mode: bool = False) -> dict[str, t.Any]:
    parameters = {
        "files": files,
        "binary_files": {"initdb/seed.sql.gz": base64.encodebytes(binary).decode()},
        "owner": getpass.getuser(),
        "readable": ["initdb"],
    }
    module: t.Any = types.SimpleNamespace(params=parameters, check_mode=check_mode)
    return file_tree.sync(module, root)


def test_binary_file_arrives_byte_for_byte_and_stays(tmp_path: Path) -> None:
    assert sync(tmp_path, {"compose.yaml": "name: ü\n"})["written"] == ["compose.yaml", "initdb/seed.sql.gz"]
    assert (tmp_path / "initdb/seed.sql.gz").read_bytes() == BINARY
    assert (tmp_path / "initdb/seed.sql.gz").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "compose.yaml").read_text() == "name: ü\n"
    assert sync(tmp_path, {"compose.yaml": "name: ü\n"}) == {"changed": False, "written": [], "removed": [], "diff": []}


def test_check_mode_and_diff_tell_of_a_binary_file(tmp_path: Path) -> None:
    sync(tmp_path, {"old.yaml": ""})
    told = sync(tmp_path, {}, binary=b"\xff", check_mode=True)
    assert (told["written"], told["removed"]) == (["initdb/seed.sql.gz"], ["old.yaml"])
    assert told["diff"][0]["before"].startswith("256 bytes that are no text, SHA-256 40aff2e9")
    assert told["diff"][0]["after"].startswith("1 bytes that are no text")
    assert (tmp_path / "old.yaml").exists()
