#!/usr/bin/python
# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate and key the edge serves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_certificate
short_description: Keep the TLS certificate and key of a stack valid on a host
description:
  - With O(provider=self_signed), a local CA issues an ECDSA P-256 certificate for O(names); it is issued again when the
    names change, when the key does not fit, or before it expires. The CA is kept.
  - With O(provider=provided), the certificate and key that are handed over are examined before anything on the host is
    touched, and all findings are reported at once; each has a cause, the evidence and a fix.
  - Files are replaced by rename, so a reader sees a whole old or a whole new file.
version_added: 0.1.0
author: shipshape.stack contributors (@shipshape)
requirements:
  - cryptography >= 38 (Debian package python3-cryptography)
options:
  path:
    description:
      - Directory that gets C(fullchain.pem) (mode V(0644)) and C(privkey.pem) (mode V(0600)).
      - The local CA lives in C(ca/) below it, readable by the user who runs the module only.
    type: path
    required: true
  provider:
    description: Where the certificate comes from.
    type: str
    choices: [self_signed, provided]
    required: true
  names:
    description: DNS names and IP addresses the certificate has to cover. A wildcard covers one label.
    type: list
    elements: str
    required: true
  uid:
    description: Numeric user of the container that reads the key.
    type: int
    default: 101
  gid:
    description: Numeric group of the container that reads the key.
    type: int
    default: 101
  authority_name:
    description: Name of the local CA as a browser shows it; the day of its making is added.
    type: str
    default: Local CA
  valid_days:
    description: Lifetime of a certificate of the local CA, in days; at most 398, because browsers refuse more.
    type: int
    default: 397
  renew_before:
    description:
      - A certificate of the local CA is renewed this many days before it expires.
      - A provided one is warned about.
    type: int
    default: 30
  fullchain:
    description: PEM text of the server's certificate followed by its issuers. Needed with O(provider=provided).
    type: str
  private_key:
    description: PEM text of the key, not encrypted. Needed with O(provider=provided).
    type: str
  allow_self_signed:
    description: Accept a provided certificate that vouches for itself.
    type: bool
    default: false
attributes:
  check_mode:
    description: Changes nothing and says what it would do.
    support: full
  diff_mode:
    description: Names, issuer and expiry before and after; never a key.
    support: full
"""

EXAMPLES = r"""
- name: Serve the site with a certificate of the local CA
  shipshape.stack.tls_certificate:
    path: /srv/shop/tls
    provider: self_signed
    names: [shop.example.com, www.shop.example.com, 127.0.0.1]
    authority_name: shop local CA

- name: Serve the site with the company's certificate
  shipshape.stack.tls_certificate:
    path: /srv/shop/tls
    provider: provided
    names: [shop.example.com]
    fullchain: "{{ lookup('ansible.builtin.file', 'files/shop.fullchain.pem') }}"
    private_key: "{{ lookup('ansible.builtin.file', 'files/shop.key.pem') }}"
"""

RETURN = r"""
library_missing:
  description: Whether the module failed for want of the Python library cryptography.
  returned: failure
  type: bool
reasons:
  description: Why the certificate was (or would be) replaced; empty when it stays.
  returned: always
  type: list
  elements: str
  sample: ["the certificate expires on 2026-12-24"]
fullchain:
  description: Path of the certificate.
  returned: always
  type: str
private_key:
  description: Path of the key.
  returned: always
  type: str
authority:
  description: Path of the local CA's certificate, the one to import into a browser.
  returned: when O(provider=self_signed)
  type: str
names:
  description: What the certificate covers.
  returned: when a certificate exists
  type: list
  elements: str
not_after:
  description: End of validity, in UTC.
  returned: when a certificate exists
  type: str
  sample: "2027-01-31T12:00:00Z"
fingerprint:
  description: SHA-256 fingerprint.
  returned: when a certificate exists
  type: str
findings:
  description: Everything wrong with the provided pair.
  returned: when a provided pair was refused
  type: list
  elements: dict
  contains:
    cause:
      description: What is wrong.
      type: str
    evidence:
      description: What shows it.
      type: str
    fix:
      description: What to do.
      type: str
"""

import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.shipshape.stack.plugins.module_utils import _certificate, _tls_files
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError


def check_options(params: dict[str, t.Any]) -> None:
    """Refuse values that cannot work together."""
    valid_days, renew_before = params["valid_days"], params["renew_before"]
    if not params["names"]:
        raise StackError("names is empty.", fix="Give the names the site is reached by.")
    if not 1 <= valid_days <= _certificate.LEAF_DAYS_MAX:
        raise StackError(
            f"valid_days is {valid_days}.",
            evidence=f"Browsers refuse server certificates that live longer than {_certificate.LEAF_DAYS_MAX} days.",
            fix="Choose a number from 1 to 398; 397 is the default.",
        )
    if params["provider"] == "self_signed" and renew_before >= valid_days:
        raise StackError(
            f"renew_before ({renew_before} days) is not shorter than valid_days ({valid_days} days).",
            evidence="The certificate would be renewed in every run.",
            fix="Lower renew_before, for example to a third of valid_days.",
        )


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Examine, plan, and apply unless in check mode."""
    params = module.params
    check_options(params)
    directory = Path(params["path"])
    result: dict[str, t.Any] = {
        "fullchain": str(directory / "fullchain.pem"),
        "private_key": str(directory / "privkey.pem"),
    }
    if params["provider"] == "self_signed":
        result["authority"] = str(directory / "ca" / "ca.pem")
    if _certificate.LIBRARY_ERROR is not None:
        if module.check_mode:
            module.warn("python3-cryptography is not installed yet: the certificate was not examined.")
            return result | {"changed": True, "reasons": ["python3-cryptography is not installed yet"]}
        missing = StackError(
            "The Python library cryptography is missing on this host.",
            evidence=str(_certificate.LIBRARY_ERROR),
            fix="Apply the role shipshape.stack.tls_certificates, or install the package python3-cryptography.",
        )
        module.fail_json(**missing.result(), library_missing=True)
    now = datetime.now(UTC)
    if params["provider"] == "self_signed":
        plan = _tls_files.plan_self_signed(
            directory,
            params["names"],
            authority_name=params["authority_name"],
            valid_days=params["valid_days"],
            renew_before=params["renew_before"],
            uid=params["uid"],
            gid=params["gid"],
            now=now,
        )
    else:
        plan = _tls_files.plan_provided(
            directory,
            _certificate.Pair(params["fullchain"], params["private_key"]),
            params["names"],
            accepted=["self_signed"] if params["allow_self_signed"] else [],
            uid=params["uid"],
            gid=params["gid"],
            now=now,
        )
        if plan.not_after - now < timedelta(days=params["renew_before"]):
            module.warn(f"The provided certificate expires on {plan.not_after:%Y-%m-%d}: renew it.")
    diff = {
        "before_header": result["fullchain"],
        "after_header": result["fullchain"],
        "before": _tls_files.summary(directory),
        "after": _tls_files.summary_of(plan.certificate),
    }
    changed = plan.differs()
    if changed and not module.check_mode:
        _tls_files.apply(plan, directory)
    result |= _tls_files.describe(plan.certificate)
    return result | {"changed": changed, "reasons": list(plan.reasons), "diff": diff}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "provider": {"type": "str", "choices": ["self_signed", "provided"], "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "uid": {"type": "int", "default": 101},
            "gid": {"type": "int", "default": 101},
            "authority_name": {"type": "str", "default": "Local CA"},
            "valid_days": {"type": "int", "default": 397},
            "renew_before": {"type": "int", "default": 30},
            "fullchain": {"type": "str"},
            "private_key": {"type": "str", "no_log": True},
            "allow_self_signed": {"type": "bool", "default": False},
        },
        required_if=[("provider", "provided", ("fullchain", "private_key"))],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except StackError as error:
        module.fail_json(**error.result())


if __name__ == "__main__":
    main()
