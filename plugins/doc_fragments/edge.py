# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The nginx in front of a project, shared by the modules that plan or carry out a rollout."""

    DOCUMENTATION = r"""
options:
  edge:
    description: The nginx that sends requests to services, switched by a validated reload.
    type: dict
    suboptions:
      service:
        description: Service that runs nginx.
        type: str
        default: nginx
      directory:
        description:
          - Directory on the host that nginx reads its files from, below any path in the container.
          - C(servers/<service>.conf) in it is written by the module, to be included in an C(upstream) block that has a
            C(zone); nginx has to be 1.27.4 or newer and has to have a C(resolver).
        type: path
        required: true
      source:
        description: Directory whose files are brought into O(edge.directory) with the switch; others are removed there.
        type: path
      upstreams:
        description:
          - Port by service of those nginx sends requests to.
          - A service that the project does not have is left out, as in a release of before it was added.
        type: dict
        required: true
      certificates:
        description: Further directories nginx reads; files newer than its workers mean a reload.
        type: list
        elements: path
        default: []
      drain_timeout:
        description: How long requests under way may take in nginx's old workers, as C(30s) or C(1m).
        type: str
        default: 30s
      reload:
        description: Reload in any case, for files that are not in these directories.
        type: bool
        default: false
      url:
        description: Address of the site as users write it, for C(probes).
        type: str
      address:
        description: C(host:port) to connect to for C(probes) instead of the one in O(edge.url).
        type: str
        default: ""
      ca:
        description: File with the certificate authority to trust for C(probes), instead of those of the host.
        type: path
"""
