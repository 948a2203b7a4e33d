# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release's Compose file depends on beside itself: the single files its services mount."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _resolve


def test_secrets_configs_and_single_files_are_found_and_directories_are_not(tmp_path: Path) -> None:
    for name in ("password", "other", "app.toml", "motd"):
        (tmp_path / name).touch()
    service = {
        "secrets": [{"source": "password"}],
        "configs": [{"source": "app"}, {"source": "inline"}],
        "volumes": [
            {"type": "bind", "source": str(tmp_path / "motd")},
            {"type": "bind", "source": str(tmp_path)},
            {"type": "volume", "source": "data"},
        ],
    }
    model = {
        "secrets": {"password": {"file": str(tmp_path / "password")}, "other": {"file": str(tmp_path / "other")}},
        "configs": {"app": {"file": str(tmp_path / "app.toml")}, "inline": {"content": "x"}},
    }
    expected = [str(tmp_path / name) for name in ("app.toml", "motd", "password")]
    assert _resolve.mounted_files(service, model) == expected


def test_stamp_changes_with_the_file_and_only_with_it(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one-secret")
    before = _resolve.stamp([str(path)])
    assert _resolve.stamp([str(path)]) == before
    path.write_text("two-secret")
    os.utime(path, ns=(1, 1))
    assert _resolve.stamp([str(path)]) != before


def test_stamp_does_not_depend_on_the_content_alone(tmp_path: Path) -> None:
    """A hash of a short secret could be guessed from the label, which anyone who may inspect can read."""
    path = tmp_path / "password"
    path.write_text("one-secret")
    os.utime(path, ns=(1, 1))
    before = _resolve.stamp([str(path)])
    path.write_text("two-secret")
    os.utime(path, ns=(1, 1))
    assert _resolve.stamp([str(path)]) == before
