#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the edge's nginx, live only after nginx accepted them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_config
short_description: Put an nginx configuration in place after nginx itself accepted it
description:
  - Writes the files beside the live directory, runs C(nginx -t) over them in a throwaway container of the image that
    will serve them, and only then replaces the live files, each by rename.
  - A refused configuration leaves the live files untouched.
  - The live directory keeps its inode, so a container that mounts it sees the new files; reloading is up to the caller.
  - Starts no container when neither content nor image differ from what nginx accepted before.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
requirements:
  - Docker SDK for Python (Debian package python3-docker)
options:
  path:
    description: The live directory, mounted in the container as C(/etc/nginx/stack).
    type: path
    required: true
  files:
    description:
      - Content by relative path. C(nginx.conf) has to be among them.
      - Other files of the directory are removed.
    type: dict
    required: true
  image:
    description: The nginx image that serves the files; it has to be on the host.
    type: str
    required: true
  tls_path:
    description: Directory with certificate and key, mounted in the container as C(/etc/nginx/tls).
    type: path
    required: true
  user:
    description: Numeric user and group of the container.
    type: str
    default: "101:101"
attributes:
  check_mode:
    description:
      - Changes nothing, and validates if Engine, image and certificate are there.
      - On a host without them it says what would change.
    support: full
  diff_mode:
    description: Content of every file that differs.
    support: full
"""

EXAMPLES = r"""
- name: Serve a new edge configuration
  shipshape.stack.nginx_config:
    path: /srv/shop/nginx
    tls_path: /srv/shop/tls
    image: shipshape/nginx:trixie-0123456789ab
    files:
      nginx.conf: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
      conf.d/site.conf: "{{ lookup('ansible.builtin.template', 'site.conf.j2') }}"
"""

RETURN = r"""
files:
  description: The files that were (or would be) written or removed.
  returned: always
  type: list
  elements: str
  sample: [conf.d/site.conf]
validated:
  description: Whether nginx tested the configuration in this run.
  returned: always
  type: bool
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _nginx
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


def prepare(image: str, tls: Path) -> t.Any:
    """Return a client of the Engine when everything a validation needs is there; raises StackError otherwise."""
    # The Docker SDK takes 0.4 s to load, and most runs change nothing.
    from ansible_collections.shipshape.stack.plugins.module_utils import _engine

    client = _engine.connect()
    if _engine.image_id(client, image) is None:
        raise StackError(
            f"The nginx image {image} is not on this host.",
            fix="Apply the role shipshape.stack.base_images first.",
        )
    if not (tls / "fullchain.pem").is_file():
        raise StackError(
            f"There is no certificate in {tls}.",
            fix="Apply the role shipshape.stack.tls_certificates first.",
        )
    return client


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare, validate, and replace unless in check mode."""
    directory, tls, image = Path(module.params["path"]), Path(module.params["tls_path"]), module.params["image"]
    files = {name: str(content) for name, content in module.params["files"].items()}
    _nginx.check_names(files)
    live = _nginx.read_live(directory)
    _nginx.check_directory(directory, live)
    changes = _nginx.changes(live, files)
    touched = sorted({*(change.name for change in changes), *_nginx.wrong_modes(directory, files)})
    result: dict[str, t.Any] = {
        "changed": bool(touched),
        "files": touched,
        "validated": False,
        "diff": [
            {
                "before_header": str(directory / change.name),
                "after_header": str(directory / change.name),
                "before": change.before or "",
                "after": change.after or "",
            }
            for change in changes
        ],
    }
    stamp = _nginx.stamp(files, image)
    if not touched and _nginx.is_validated(directory, stamp):
        return result
    try:
        client = prepare(image, tls)
    except StackError as error:
        if not module.check_mode:
            raise
        module.warn(f"The configuration was not validated: {error.cause}")
        return result
    _nginx.validate(client, image, files, scratch=tls.parent, tls=tls, user=module.params["user"])
    result["validated"] = True
    if not module.check_mode:
        _nginx.write_files(directory, files)
        _nginx.remove_files(directory, [change.name for change in changes if change.after is None])
        _nginx.write_stamp(directory, stamp)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "image": {"type": "str", "required": True},
            "tls_path": {"type": "path", "required": True},
            "user": {"type": "str", "default": "101:101"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except StackError as error:
        module.fail_json(**error.result())


if __name__ == "__main__":
    main()
