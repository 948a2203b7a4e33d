#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
short_description: Keep a directory equal to a set of rendered files, in one call
description:
  - Writes the files, each by rename, and removes every other file below O(path).
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
options:
  path:
    description: The directory. It must exist in a real run.
    type: path
    required: true
  files:
    description: Content of each file by its path relative to O(path).
    type: dict
    required: true
  binary_files:
    description: Content in Base64 of further files, for what may be no text.
    type: dict
    default: {}
  owner:
    description: System account that owns files and sub-directories.
    type: str
    required: true
  readable:
    description: Sub-directories whose files any user may read, because a container's own user does.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode and reports what it would write and remove.
    support: full
  diff_mode:
    description: Shows each file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Write the project
  shipshape.stack.file_tree:
    path: /srv/shop/project
    owner: shop
    files:
      compose.yaml: "{{ lookup('ansible.builtin.template', 'compose.yaml.j2') }}"
"""

RETURN = r"""
written:
  description: Files that were written, relative to O(path).
  returned: success
  type: list
  elements: str
removed:
  description: Files that were removed, relative to O(path).
  returned: success
  type: list
  elements: str
"""

import base64
import hashlib
import os
import pwd
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _module
from ansible_collections.shipshape.stack.plugins.module_utils._release import write_atomically

# Mode of a file and of its directory.
PRIVATE = (0o640, 0o750)
PUBLIC = (0o644, 0o755)


def contents_of(params: t.Mapping[str, t.Any]) -> dict[str, bytes]:
    """Return the content of every declared file."""
    text = {name: content.encode() for name, content in params["files"].items()}
    return text | {name: base64.b64decode(content) for name, content in params["binary_files"].items()}


def show(content: bytes) -> str:
    """Return content as a diff can show it."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"{len(content)} bytes that are no text, SHA-256 {hashlib.sha256(content).hexdigest()}\n"


def sync(module: AnsibleModule, root: Path) -> dict[str, t.Any]:
    """Write what differs and remove what is not declared."""
    params = module.params
    account = pwd.getpwnam(params["owner"])
    written, diffs = [], []
    contents = contents_of(params)
    for name, content in sorted(contents.items()):
        path = root / name
        file_mode, directory_mode = PUBLIC if name.split("/")[0] in params["readable"] else PRIVATE
        before = path.read_bytes() if path.is_file() else b""
        if module.check_mode:
            changed = not path.is_file() or before != content
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            for directory in list(path.relative_to(root).parents)[:-1]:
                (root / directory).chmod(directory_mode)
                os.chown(root / directory, account.pw_uid, account.pw_gid)
            changed = write_atomically(path, content, mode=file_mode, uid=account.pw_uid, gid=account.pw_gid)
        if changed:
            written.append(name)
            header = str(path)
            shown = {"before": show(before), "after": show(content)}
            diffs.append({**shown, "before_header": header, "after_header": header})
    removed = []
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_file() and name not in contents:
            removed.append(name)
            if not module.check_mode:
                path.unlink()
    return {"changed": bool(written or removed), "written": written, "removed": removed, "diff": diffs}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "binary_files": {"type": "dict", "default": {}},
            "owner": {"type": "str", "required": True},
            "readable": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, t.Any]:
        if _module.not_there_yet(module, module.params["path"]):
            return {"changed": True, "written": sorted(contents_of(module.params)), "removed": []}
        return sync(module, Path(module.params["path"]))

    _module.conclude(module, work)


if __name__ == "__main__":
    main()
