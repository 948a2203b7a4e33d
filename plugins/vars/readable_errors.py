# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which file and line of the inventory is broken YAML; ansible-core 2.19 says only that something is."""

from __future__ import annotations

DOCUMENTATION = r"""
name: readable_errors
short_description: Names file and line of broken YAML in group_vars and host_vars
description:
  - Gives no variables. Reads the files before P(ansible.builtin.host_group_vars#vars) does, and when one cannot be
    parsed, fails with its name and the line.
  - Switch it on in C(ansible.cfg) with C(vars_plugins_enabled = shipshape.stack.readable_errors, host_group_vars).
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
"""

import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.host import Host
from ansible.plugins.vars import BaseVarsPlugin


class VarsModule(BaseVarsPlugin):  # type: ignore[misc]
    """A vars plugin that only looks."""

    REQUIRES_ENABLED = True

    def get_vars(self, loader: t.Any, path: str, entities: t.Any, cache: bool = True) -> dict[str, t.Any]:
        """Return nothing, or raise AnsibleParserError for the first file that is not YAML."""
        super().get_vars(loader, path, entities)
        for entity in entities if isinstance(entities, list) else [entities]:
            kind = "host_vars" if isinstance(entity, Host) else "group_vars"
            directory = Path(self._basedir, kind)
            if not directory.is_dir():
                continue
            for name in loader.find_vars_files(str(directory), entity.name):
                file = name.decode() if isinstance(name, bytes) else name
                try:
                    loader.load_from_file(file, cache="all")
                except AnsibleError as error:
                    raise AnsibleParserError(f"{where(file)}: {error} Fix: correct the YAML of this line.") from error
        return {}


def where(file: str) -> str:
    """Return ``file``, with line and column where a parser can tell them."""
    try:
        yaml.compose(Path(file).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            return f"{file}, line {mark.line + 1}, column {mark.column + 1}"
    except (yaml.YAMLError, UnicodeDecodeError):
        return file
    return file
