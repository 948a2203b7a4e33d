# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as a company or a public CA hands them over, good ones and bad ones."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate and the key it was made for."""

    certificate: x509.Certificate
    private: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key(self) -> str:
        return key_pem(self.private, serialization.NoEncryption())


def key_pem(key: Key, encryption: serialization.KeySerializationEncryption) -> str:
    """Return a key as PKCS #8."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    names: t.Sequence[str] = (),
    authority: bool = False,
    valid: tuple[int, int] = (-1, 90),
    key: Key | None = None,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Issued:
    """Issue a certificate; ``valid`` counts in days from now, and without an ``issuer`` it signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=valid[0]))
        .not_valid_after(NOW + timedelta(days=valid[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(item) for item in names]), False)
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    return Issued(builder.sign(issuer.private if issuer else key, hashes.SHA256()), key)


@dataclass(frozen=True)
class Company:
    """A CA of two levels."""

    root: Issued
    intermediate: Issued

    def chain(self, leaf: Issued) -> str:
        """Return what a server sends for ``leaf``."""
        return leaf.pem + self.intermediate.pem


def company() -> Company:
    """Found a CA with an RSA root, as most public ones have, and an ECDSA intermediate."""
    root = issue("Root", authority=True, valid=(-100, 3000), key=rsa.generate_private_key(65537, 2048))
    return Company(root, issue("Intermediate", root, authority=True, valid=(-100, 1000)))
