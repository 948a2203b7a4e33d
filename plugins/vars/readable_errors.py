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

import functools
import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.host import Host
from ansible.plugins.vars import BaseVarsPlugin


class VarsModule(BaseVarsPlugin):  # type: ignore[misc]
    """A vars plugin that only looks."""

    def get_vars(self, loader: t.Any, path: str, entities: t.Any, cache: bool = True) -> dict[str, t.Any]:
        """Return nothing, or raise AnsibleParserError for the first file that is not YAML."""
        super().get_vars(loader, path, entities)
        for entity in entities if isinstance(entities, list) else [entities]:
            directory = Path(self._basedir, "host_vars" if isinstance(entity, Host) else "group_vars")
            if directory.is_dir():
                for name in loader.find_vars_files(str(directory), entity.name):
                    check(Path(name.decode() if isinstance(name, bytes) else name))
        return {}


@functools.cache
def check(file: Path) -> None:
    """Raise AnsibleParserError with file, line and column unless ``file`` is YAML or a vault."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if text.startswith("$ANSIBLE_VAULT"):
        return
    try:
        # Composed, not constructed: tags such as !vault mean nothing here.
        yaml.compose(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise AnsibleParserError(f"{file}{line}: {error.problem}. Fix: correct the YAML there.") from None
