# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is handed to Compose on its standard input."""

from __future__ import annotations

import yaml

from ansible_collections.shipshape.stack.plugins.module_utils import _compose


def test_json_for_compose_is_yaml_whatever_the_characters() -> None:
    characters = [chr(code) for code in range(0x20, 0x3000) if chr(code) != "\ud800"]
    model = {"environment": ["\U0001f6a2", "\\ud83d\\udea2", "\t\n\r\0\x1b", "\ufeff\ufffd", "".join(characters)]}
    assert yaml.safe_load(_compose._json_as_yaml(model)) == model
