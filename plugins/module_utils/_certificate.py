# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as values: issue from a local CA, find everything wrong with a pair that was handed over. No I/O."""

from __future__ import annotations

import ipaddress
import itertools
import re
import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ansible_collections.shipshape.stack.plugins.module_utils._diagnosis import Finding

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as import_error:
    LIBRARY_ERROR: ImportError | None = import_error
else:
    LIBRARY_ERROR = None

AUTHORITY_DAYS = 3650
LEAF_DAYS_MAX = 398
"""Browsers refuse server certificates that live longer (CA/Browser Forum, Baseline Requirements 6.3.2)."""

_CLOCK_SKEW = timedelta(hours=1)
_PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str


def new_authority(name: str, now: datetime) -> Pair:
    """Issue a CA that can sign server certificates but no further CA; its day is in its name to tell two CAs apart."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "shipshape.stack"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name[:40]} {now:%Y-%m-%d}"),
        ]
    )
    key_identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(key_identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def new_leaf(authority: Pair, names: t.Sequence[str], *, now: datetime, days: int) -> Pair:
    """Issue a server certificate for DNS names and IP addresses; it does not outlive its CA."""
    issuer = load_chain(authority.certificate)[0]
    issuer_key = serialization.load_pem_private_key(authority.key.encode(), password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the local CA has no elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(min(now - _CLOCK_SKEW + timedelta(days=days), not_after(issuer)))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def authority_reasons(authority: Pair, *, now: datetime, renew_before: int) -> list[str]:
    """Say why a new CA is needed; empty means the present one stays. ``renew_before`` is in days."""
    try:
        certificate = load_chain(authority.certificate)[0]
        key = load_key(authority.key)
    except ValueError as error:
        return [f"there is no usable local CA ({error})"]
    reasons = []
    if _public_bytes(key.public_key()) != _public_bytes(certificate.public_key()):
        reasons.append("the key of the local CA does not belong to its certificate")
    if not_after(certificate) - now < timedelta(days=renew_before):
        reasons.append(f"the local CA expires on {not_after(certificate):%Y-%m-%d}")
    return reasons


def leaf_reasons(leaf: Pair, authority: Pair, names: t.Sequence[str], *, now: datetime, renew_before: int) -> list[str]:
    """Say why a new server certificate is needed; empty means the present one stays. ``renew_before`` is in days."""
    try:
        certificate = load_chain(leaf.certificate)[0]
        key = load_key(leaf.key)
    except ValueError as error:
        return [f"there is no usable certificate ({error})"]
    reasons = []
    if _public_bytes(key.public_key()) != _public_bytes(certificate.public_key()):
        reasons.append("the key does not belong to the certificate")
    if not signed_by(certificate, load_chain(authority.certificate)[0]):
        reasons.append("the certificate was not issued by the local CA")
    wanted, present = {_canonical(name) for name in names}, names_of(certificate)
    if wanted != present:
        reasons.append(f"the names change from {_listing(present)} to {_listing(wanted)}")
    if not_after(certificate) - now < timedelta(days=renew_before):
        reasons.append(f"the certificate expires on {not_after(certificate):%Y-%m-%d}")
    return reasons


def examine(pair: Pair, names: t.Sequence[str], *, now: datetime) -> list[Finding]:
    """Return everything, not the first thing only, that keeps nginx or a browser from accepting the pair."""
    findings: list[Finding] = []
    chain: list[x509.Certificate] = []
    key = None
    try:
        chain = load_chain(pair.certificate)
    except ValueError as error:
        findings.append(
            Finding(
                "The certificate file cannot be read.",
                str(error),
                "Give a PEM file: the server's certificate first, then each issuer.",
            )
        )
    try:
        key = load_key(pair.key)
    except ValueError as error:
        findings.append(
            Finding(
                "The private key cannot be read.",
                str(error),
                "Give an unencrypted PEM key; a file encrypted with Ansible Vault is fine.",
            )
        )
    if chain and key is not None:
        findings += _key_findings(chain, key)
    if chain:
        findings += [
            *_chain_findings(chain),
            *_date_findings(chain, now),
            *_name_findings(chain[0], names),
            *_purpose_findings(chain[0]),
            *_strength_findings(chain),
        ]
    return findings


def self_signed_findings(pair: Pair) -> list[Finding]:
    """Return the finding that the server's certificate vouches for itself, which no client trusts by itself."""
    try:
        leaf = load_chain(pair.certificate)[0]
    except ValueError:
        return []
    if not signed_by(leaf, leaf):
        return []
    return [
        Finding(
            "The certificate is self-signed.",
            f"Subject and issuer are both {leaf.subject.rfc4514_string()}.",
            "Give one that a CA issued, or accept it: `tls_certificates_provided_allow_self_signed: true`.",
        )
    ]


def load_chain(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text in its order; raises ValueError when there is none or one is broken."""
    blocks = _PEM_CERTIFICATE.findall(pem)
    if not blocks:
        raise ValueError("no certificate in PEM form")
    return [x509.load_pem_x509_certificate(block.encode()) for block in blocks]


def load_key(pem: str) -> t.Any:
    """Return the private key of a PEM text; raises ValueError when there is none, or it is broken or encrypted."""
    if "PRIVATE KEY-----" not in pem:
        raise ValueError("no private key in PEM form")
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError as error:
        raise ValueError("the private key is encrypted with a passphrase") from error
    except UnsupportedAlgorithm as error:
        raise ValueError(f"the kind of private key is not supported: {error}") from error


def signed_by(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` signed ``child`` (RFC 5280 6.1.3: name chaining and signature)."""
    if child.issuer != issuer.subject:
        return False
    key: t.Any = issuer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            # Before cryptography 41 the parameters are not there; PKCS #1 v1.5 is what CAs use.
            scheme = getattr(child, "signature_algorithm_parameters", padding.PKCS1v15())
            key.verify(child.signature, child.tbs_certificate_bytes, scheme, _digest(child))
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(child.signature, child.tbs_certificate_bytes, ec.ECDSA(_digest(child)))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(child.signature, child.tbs_certificate_bytes)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def names_of(certificate: x509.Certificate) -> set[str]:
    """Return the DNS names (lower case) and IP addresses a client accepts the certificate for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return {name.lower() for name in names.get_values_for_type(x509.DNSName)} | addresses


def covers(present: t.Collection[str], name: str) -> bool:
    """Whether one of ``present`` matches ``name``; a wildcard stands for exactly one label (RFC 9525 6.3)."""
    wanted = _canonical(name)
    if wanted in present:
        return True
    parent = wanted.partition(".")[2]
    return bool(parent) and not _is_address(wanted) and f"*.{parent}" in present


def not_after(certificate: x509.Certificate) -> datetime:
    """Return the end of validity, in UTC."""
    return _moment(certificate, "not_valid_after")


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate as browsers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _key_findings(chain: t.Sequence[x509.Certificate], key: t.Any) -> list[Finding]:
    wanted = _public_bytes(key.public_key())
    matching = [position for position, item in enumerate(chain) if _public_bytes(item.public_key()) == wanted]
    if matching and matching[0] == 0:
        return []
    if matching:
        return [
            Finding(
                "The server's certificate is not the first of the file.",
                f"The key belongs to certificate {matching[0] + 1} of {len(chain)}: {_title(chain[matching[0]])}.",
                "Put the server's certificate first, then its issuer, then the issuer's issuer.",
            )
        ]
    return [
        Finding(
            "The private key does not belong to the certificate.",
            f"The certificate of {_title(chain[0])} has another public key ({fingerprint(chain[0])}).",
            "Give the key the certificate was requested with, or request a certificate for this key.",
        )
    ]


def _chain_findings(chain: t.Sequence[x509.Certificate]) -> list[Finding]:
    if len(chain) == 1 and not signed_by(chain[0], chain[0]):
        return [
            Finding(
                "The chain is incomplete: the file has the server's certificate only.",
                f"It was issued by {chain[0].issuer.rfc4514_string()}, which is not in the file.",
                "Append the issuer's certificate (often called fullchain, chain or CA bundle).",
            )
        ]
    findings = []
    for position, (child, issuer) in enumerate(itertools.pairwise(chain), start=1):
        if not signed_by(child, issuer):
            elsewhere = any(signed_by(child, other) for other in chain if other is not child)
            findings.append(
                Finding(
                    "The chain is out of order." if elsewhere else "The chain has a gap.",
                    f"Certificate {position} ({_title(child)}) was issued by {child.issuer.rfc4514_string()}, "
                    f"but certificate {position + 1} is {issuer.subject.rfc4514_string()}.",
                    "Order the file so that each certificate is followed by the one that signed it."
                    if elsewhere
                    else "Put the certificate of the issuer there; take away what does not belong to this chain.",
                )
            )
        elif not _is_authority(issuer):
            findings.append(
                Finding(
                    "A certificate of the chain may not issue certificates.",
                    f"Certificate {position + 1} ({_title(issuer)}) has no basic constraint CA:TRUE.",
                    "Replace it by the certificate of the issuing CA.",
                )
            )
    return findings


def _date_findings(chain: t.Sequence[x509.Certificate], now: datetime) -> list[Finding]:
    findings = []
    for position, item in enumerate(chain, start=1):
        start, end = _moment(item, "not_valid_before"), not_after(item)
        if now > end:
            findings.append(
                Finding(
                    f"Certificate {position} of the chain has expired.",
                    f"{_title(item)} was valid until {end:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d %H:%M} UTC.",
                    "Renew it.",
                )
            )
        elif now < start:
            findings.append(
                Finding(
                    f"Certificate {position} of the chain is not valid yet.",
                    f"{_title(item)} is valid from {start:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d %H:%M} UTC.",
                    "Check the host's clock, or wait.",
                )
            )
    return findings


def _name_findings(leaf: x509.Certificate, names: t.Sequence[str]) -> list[Finding]:
    present = names_of(leaf)
    missing = [name for name in names if not covers(present, name)]
    if not missing:
        return []
    return [
        Finding(
            f"The certificate does not cover {', '.join(missing)}.",
            f"It covers {_listing(present)}."
            if present
            else "It has no subject alternative name; the CN does not count.",
            "Request one with these names, or correct `stack_domain` and `stack_domain_aliases`.",
        )
    ]


def _purpose_findings(leaf: x509.Certificate) -> list[Finding]:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    if ExtendedKeyUsageOID.SERVER_AUTH in usages:
        return []
    return [
        Finding(
            "The certificate is not made for servers.",
            "Its extended key usage lacks serverAuth.",
            "Request a server certificate.",
        )
    ]


def _strength_findings(chain: t.Sequence[x509.Certificate]) -> list[Finding]:
    """OpenSSL security level 2, Debian's default, refuses these, and nginx would not start."""
    findings = []
    for position, item in enumerate(chain, start=1):
        key = item.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
            findings.append(
                Finding(
                    f"The key of certificate {position} of the chain is too short.",
                    f"{_title(item)}: RSA, {key.key_size} bits.",
                    "Use ECDSA P-256, or RSA with 2048 bits or more.",
                )
            )
        digest = item.signature_hash_algorithm
        if isinstance(digest, hashes.SHA1 | hashes.MD5) and not signed_by(item, item):
            findings.append(
                Finding(
                    f"The signature of certificate {position} of the chain is too weak.",
                    f"{_title(item)}: {digest.name}.",
                    "Have it issued again with SHA-256.",
                )
            )
    return findings


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _key_usage(*granted: str) -> x509.KeyUsage:
    usages = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{usage: usage in granted for usage in usages})


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def _digest(certificate: x509.Certificate) -> hashes.HashAlgorithm:
    digest = certificate.signature_hash_algorithm
    if digest is None:
        raise UnsupportedAlgorithm("the signature names no hash")
    return digest


def _public_bytes(key: t.Any) -> bytes:
    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def _moment(certificate: x509.Certificate, attribute: str) -> datetime:
    # cryptography >= 42 has the aware form, and warns about the other.
    aware: datetime | None = getattr(certificate, f"{attribute}_utc", None)
    naive: datetime = aware or getattr(certificate, attribute)
    return naive.replace(tzinfo=UTC)


def _general_name(name: str) -> x509.GeneralName:
    canonical = _canonical(name)
    if _is_address(canonical):
        return x509.IPAddress(ipaddress.ip_address(canonical))
    return x509.DNSName(canonical)


def _canonical(name: str) -> str:
    """Return the form names have in a certificate: compressed addresses, A-labels in lower case."""
    if _is_address(name):
        return str(ipaddress.ip_address(name))
    wildcard, dot, rest = name.partition(".")
    if wildcard == "*":
        return f"*{dot}{_canonical(rest)}"
    return name.encode("idna").decode().lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _title(certificate: x509.Certificate) -> str:
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else certificate.subject.rfc4514_string() or "no subject"


def _listing(names: t.Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
