#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: declaration
short_description: Validate the declaration of a stack and complete it with the preset
description:
  - Takes the C(stack_*) variables, reports everything that is wrong with them at once, and returns the complete model
    that the other roles of this collection work from.
  - Runs on the controller; nothing is sent to the host.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
options:
  values:
    description: The C(stack_*) variables, as documented in the role P(shipshape.stack.stack#role).
    type: dict
    required: true
  source:
    description: Path of the monorepo on the controller. A relative path starts at the playbook's working directory.
    type: path
    required: true
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Validate the declaration
  shipshape.stack.declaration:
    source: "{{ stack_source }}"
    values:
      stack_name: shop
      stack_domain: shop.example.com
      stack_database: shop
      stack_environment: production
      stack_tls_provider: self_signed
      stack_http_port: 80
      stack_https_port: 443
      stack_root: /srv/shop
      stack_user: shop
  register: stack_model
"""

RETURN = r"""
name:
  description: Name of the stack and of its Compose project.
  returned: success
  type: str
  sample: shop
services:
  description: The enabled services with every setting filled in.
  returned: success
  type: dict
  sample: {backend: {kind: fastapi, port: 8000, replicas: 2, cpus: 1.0, memory: 512M}}
source:
  description: What the source tree holds - path, package managers, own Dockerfiles, database init scripts.
  returned: success
  type: dict
  sample: {path: /home/me/shop, backend_manager: uv, frontend_manager: pnpm}
secrets:
  description: For each service the secret files it gets, as templates without values.
  returned: success
  type: dict
  sample: {db: {uid: 999, gid: 999, files: {postgres_password: "${postgres_password}"}}}
"""
