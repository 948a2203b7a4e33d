# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TLS directory of a stack: what has to be in it, and putting it there."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ansible_collections.shipshape.stack.plugins.module_utils import _certificate
from ansible_collections.shipshape.stack.plugins.module_utils._certificate import Pair
from ansible_collections.shipshape.stack.plugins.module_utils._diagnosis import Finding
from ansible_collections.shipshape.stack.plugins.module_utils._errors import StackError
from ansible_collections.shipshape.stack.plugins.module_utils._release import write_atomically


@dataclass(frozen=True)
class Target:
    """A file as it has to be; owner -1 is whoever runs this."""

    path: Path
    content: str
    mode: int
    uid: int = -1
    gid: int = -1

    def differs(self) -> bool:
        """Whether the file on disk has another content, mode or owner."""
        if not self.path.is_file():
            return True
        status = self.path.stat()
        same_owner = self.uid in (-1, status.st_uid) and self.gid in (-1, status.st_gid)
        return not same_owner or status.st_mode & 0o7777 != self.mode or _read(self.path) != self.content


@dataclass(frozen=True)
class Plan:
    """The files that have to be there, the certificate among them, and why it is a new one."""

    targets: tuple[Target, ...]
    certificate: str
    reasons: tuple[str, ...]

    def differs(self) -> bool:
        """Whether any file has to be written."""
        return any(target.differs() for target in self.targets)

    @property
    def not_after(self) -> datetime:
        """End of validity of the server's certificate, in UTC."""
        return _certificate.not_after(_certificate.load_chain(self.certificate)[0])


class CertificateRefusedError(StackError):
    """A provided pair that cannot be used, with every finding."""

    def __init__(self, findings: t.Sequence[Finding]) -> None:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        listed = "\n".join(
            f"{number}. {finding.cause} {finding.evidence}\n   Fix: {finding.fix}"
            for number, finding in enumerate(findings, start=1)
        )
        super().__init__(
            f"The provided certificate and key cannot be used: {count}.",
            evidence=listed,
            fix="Correct the two files and run again; nothing on the host was touched.",
        )
        self.findings = [asdict(finding) for finding in findings]

    def result(self) -> dict[str, t.Any]:
        """Add the findings as data."""
        return super().result() | {"findings": self.findings}


def plan_self_signed(
    directory: Path,
    names: t.Sequence[str],
    *,
    authority_name: str,
    valid_days: int,
    renew_before: int,
    uid: int,
    gid: int,
    now: datetime,
) -> Plan:
    """Keep the local CA and its certificate where they are good, and issue what is not."""
    authority = Pair(_read(directory / "ca" / "ca.pem"), _read(directory / "ca" / "ca.key"))
    leaf = Pair(_read(directory / "fullchain.pem"), _read(directory / "privkey.pem"))
    authority_reasons = _certificate.authority_reasons(authority, now=now, renew_before=renew_before)
    if authority_reasons:
        authority = _certificate.new_authority(authority_name, now)
    leaf_reasons = _certificate.leaf_reasons(leaf, authority, names, now=now, renew_before=renew_before)
    if leaf_reasons:
        leaf = _certificate.new_leaf(authority, names, now=now, days=valid_days)
    targets = (
        Target(directory / "ca" / "ca.key", authority.key, 0o600),
        Target(directory / "ca" / "ca.pem", authority.certificate, 0o644),
        *_served(directory, leaf, uid, gid),
    )
    return Plan(targets, leaf.certificate, (*authority_reasons, *leaf_reasons))


def plan_provided(
    directory: Path,
    pair: Pair,
    names: t.Sequence[str],
    *,
    accepted: t.Collection[str],
    uid: int,
    gid: int,
    now: datetime,
) -> Plan:
    """Take over a pair; ``accepted`` may hold ``self_signed``. Raises CertificateRefusedError with all findings."""
    pair = Pair(f"{pair.certificate.strip()}\n", f"{pair.key.strip()}\n")
    findings = _certificate.examine(pair, names, now=now)
    if "self_signed" not in accepted:
        findings += _certificate.self_signed_findings(pair)
    if findings:
        raise CertificateRefusedError(findings)
    present = Pair(_read(directory / "fullchain.pem"), _read(directory / "privkey.pem"))
    reasons = () if present == pair else ("another certificate or key is provided",)
    return Plan(_served(directory, pair, uid, gid), pair.certificate, reasons)


def apply(plan: Plan, directory: Path) -> None:
    """Write what differs, each file by rename; directories that exist keep their mode."""
    _make_directory(directory, 0o755)
    for target in plan.targets:
        _make_directory(target.path.parent, 0o700)
        if target.differs():
            write_atomically(target.path, target.content, mode=target.mode, uid=target.uid, gid=target.gid)


def describe(certificate: str) -> dict[str, t.Any]:
    """Return names, end of validity and fingerprint; nothing of a certificate that cannot be read."""
    try:
        leaf = _certificate.load_chain(certificate)[0]
    except ValueError:
        return {}
    return {
        "names": sorted(_certificate.names_of(leaf)),
        "not_after": f"{_certificate.not_after(leaf):%Y-%m-%dT%H:%M:%SZ}",
        "fingerprint": _certificate.fingerprint(leaf),
    }


def summary(directory: Path) -> str:
    """Return what is served from the directory now, for a diff."""
    return summary_of(_read(directory / "fullchain.pem"))


def summary_of(certificate: str) -> str:
    """Return a certificate as lines for a diff."""
    details = describe(certificate)
    if not details:
        return ""
    return "\n".join(
        [
            f"names: {' '.join(details['names'])}",
            f"expires: {details['not_after']}",
            f"SHA-256: {details['fingerprint']}\n",
        ]
    )


def _served(directory: Path, pair: Pair, uid: int, gid: int) -> tuple[Target, Target]:
    return (
        Target(directory / "privkey.pem", pair.key, 0o600, uid, gid),
        Target(directory / "fullchain.pem", pair.certificate, 0o644, uid, gid),
    )


def _make_directory(path: Path, mode: int) -> None:
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(mode)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
