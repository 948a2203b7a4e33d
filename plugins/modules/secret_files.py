#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_files
short_description: Keep the secrets of a stack as files, one directory a service
description:
  - Secrets that are not given are generated once, URL-safe, and kept. No value is ever returned.
  - Each service gets the files it needs, with mode C(0400), owned by the user its container runs as.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
options:
  path:
    description: Directory for the secrets, mode C(0700). Must exist in a real run.
    type: path
    required: true
  values:
    description: Secrets by name.
    type: dict
    default: {}
  generate:
    description: Names of secrets to generate when they are neither given nor there yet.
    type: list
    elements: str
    default: []
  initial:
    description:
      - Names of secrets that take effect only once, such as the password PostgreSQL initialises its volume with.
      - A value that differs from the one in force is refused.
    type: list
    elements: str
    default: []
  services:
    description:
      - For each service C(uid), C(gid) and C(files), a mapping of file name to template.
      - C(${name}) in a template stands for a secret. In a template that holds C(://) the value is percent-encoded.
    type: dict
    required: true
attributes:
  check_mode:
    description: Can run in check mode and reports what it would write.
    support: full
  diff_mode:
    description: Shows no diff, since that would show secrets.
    support: none
"""

EXAMPLES = r"""
- name: Write the secrets
  shipshape.stack.secret_files:
    path: /srv/shop/secrets
    generate: [postgres_password]
    services:
      db: {uid: 999, gid: 999, files: {postgres_password: "${postgres_password}"}}
"""

RETURN = r"""
written:
  description: Files that were written, relative to O(path).
  returned: always
  type: list
  elements: str
  sample: [db/postgres_password]
generated:
  description: Names of secrets that were generated in this run.
  returned: always
  type: list
  elements: str
  sample: [postgres_password]
"""

import secrets
import typing as t
from pathlib import Path
from string import Template
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _module
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import write_atomically

BYTES_OF_RANDOMNESS = 32


def render(template: str, values: t.Mapping[str, str]) -> str:
    """Return the content of a secret file."""
    if "://" in template:
        values = {name: quote(value, safe="") for name, value in values.items()}
    try:
        return Template(template).substitute(values)
    except KeyError as error:
        raise StackError(
            f"A secret file needs the secret {error}, which is neither given nor generated.",
            fix=f"Add {error} to `values` or `generate`.",
        ) from error


def known_values(root: Path, given: t.Mapping[str, str], generate: t.Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return all secrets, and the names of those that had to be generated."""
    values, new = {}, []
    for name in generate:
        kept = root / "values" / name
        if kept.is_file():
            values[name] = kept.read_text(encoding="utf-8")
        elif name not in given:
            values[name] = secrets.token_urlsafe(BYTES_OF_RANDOMNESS)
            new.append(name)
    return {**values, **given}, new


def refuse_changed(root: Path, given: t.Mapping[str, str], initial: t.Sequence[str]) -> None:
    """Raise StackError for a secret that was used to initialise something and is given differently now."""
    for name in initial:
        kept = root / "values" / name
        if name in given and kept.is_file() and kept.read_text(encoding="utf-8") != given[name]:
            raise StackError(
                f"The secret {name} differs from the one that is in force; nothing was changed.",
                evidence=f"{kept} holds another value, and what was initialised with it would refuse the new one.",
                fix=f"Put the old value back. To change it: change it in the service itself (ALTER ROLE … PASSWORD), "
                f"remove {kept}, and deploy.",
            )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "values": {"type": "dict", "default": {}, "no_log": True},
            "generate": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "initial": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "services": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, t.Any]:
        root = Path(params["path"])
        if _module.not_there_yet(module, params["path"]):
            return {"changed": True, "written": [], "generated": params["generate"]}
        values, generated = known_values(root, params["values"], params["generate"])
        refuse_changed(root, params["values"], params["initial"])
        files = {Path("values", name): (value, -1, -1) for name, value in values.items()}
        for service, wanted in params["services"].items():
            for name, template in wanted["files"].items():
                content = render(template, values)
                files[Path(service, name)] = (content, int(wanted["uid"]), int(wanted["gid"]))
        written = []
        for name, (content, uid, gid) in files.items():
            path = root / name
            if module.check_mode:
                changed = not path.is_file() or path.read_text(encoding="utf-8") != content
            else:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                changed = write_atomically(path, content, mode=0o400, uid=uid, gid=gid)
            if changed:
                written.append(str(name))
        stale = [path for path in root.glob("*/*") if path.relative_to(root) not in files]
        for path in stale:
            if not module.check_mode:
                path.unlink()
        changed = bool(written or stale)
        return {"changed": changed, "written": sorted(written), "generated": generated}

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
