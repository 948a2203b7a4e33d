# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates: what is issued, when it is issued again, and every finding about a provided pair."""

from __future__ import annotations

import typing as t
from datetime import timedelta

import pytest
from certificates import NOW, Company, Issued, company, issue, key_pem
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.shipshape.stack.plugins.module_utils import _certificate
from ansible_collections.shipshape.stack.plugins.module_utils._certificate import Pair

NAMES = ("shop.example.com", "www.shop.example.com")


@pytest.fixture(scope="module")
def ca() -> Company:
    return company()


@pytest.fixture(scope="module")
def leaf(ca: Company) -> Issued:
    return issue("shop", ca.intermediate, names=NAMES)


@pytest.fixture(scope="module")
def authority() -> Pair:
    return _certificate.new_authority("shop local CA", NOW)


def causes(certificate: str, key: str, names: t.Sequence[str] = NAMES) -> str:
    return "\n".join(finding.cause for finding in _certificate.examine(Pair(certificate, key), names, now=NOW))


def reissue_reasons(pair: Pair, authority: Pair, names: t.Sequence[str], days_later: int = 0) -> str:
    now = NOW + timedelta(days=days_later)
    return "\n".join(_certificate.leaf_reasons(pair, authority, names, now=now, renew_before=30))


# A certificate of the local CA


def test_issued_certificate_is_one_that_chromium_accepts(authority: Pair) -> None:
    leaf = _certificate.new_leaf(authority, [*NAMES, "127.0.0.1", "::1"], now=NOW, days=398)
    certificate = _certificate.load_chain(leaf.certificate)[0]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert lifetime <= timedelta(days=398)
    assert certificate.not_valid_before_utc < NOW
    assert _certificate.names_of(certificate) == {*NAMES, "127.0.0.1", "::1"}
    assert reissue_reasons(leaf, authority, ["127.0.0.1", "::1", *NAMES]) == ""


def test_authority_signs_servers_and_no_further_authority(authority: Pair) -> None:
    certificate = _certificate.load_chain(authority.certificate)[0]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert _certificate.authority_reasons(authority, now=NOW, renew_before=30) == []


def test_certificate_is_issued_again_when_names_change_or_it_expires_or_the_key_is_another(authority: Pair) -> None:
    leaf = _certificate.new_leaf(authority, NAMES, now=NOW, days=90)
    other = _certificate.new_leaf(authority, NAMES, now=NOW, days=90)
    assert reissue_reasons(leaf, authority, NAMES, days_later=58) == ""
    assert "expires on" in reissue_reasons(leaf, authority, NAMES, days_later=61)
    assert "names change" in reissue_reasons(leaf, authority, NAMES[:1])
    assert "does not belong" in reissue_reasons(Pair(leaf.certificate, other.key), authority, NAMES)
    assert "no usable" in reissue_reasons(Pair("", ""), authority, NAMES)
    assert "no usable" in reissue_reasons(Pair(leaf.certificate[:200], leaf.key), authority, NAMES)
    stranger = _certificate.new_authority("shop local CA", NOW)
    assert "not issued by the local CA" in reissue_reasons(leaf, stranger, NAMES)


def test_certificate_does_not_outlive_its_authority(authority: Pair) -> None:
    late = NOW + timedelta(days=_certificate.AUTHORITY_DAYS - 100)
    leaf = _certificate.load_chain(_certificate.new_leaf(authority, NAMES, now=late, days=397).certificate)[0]
    assert _certificate.not_after(leaf) == _certificate.not_after(_certificate.load_chain(authority.certificate)[0])


def test_names_outside_ascii_are_issued_in_their_wire_form(authority: Pair) -> None:
    leaf = _certificate.new_leaf(authority, ["bücher.example", "*.Bücher.example"], now=NOW, days=90)
    names = _certificate.names_of(_certificate.load_chain(leaf.certificate)[0])
    assert names == {"xn--bcher-kva.example", "*.xn--bcher-kva.example"}
    assert reissue_reasons(leaf, authority, ["bücher.example", "*.bücher.example"]) == ""


# A provided pair


def test_whole_chain_with_or_without_root_is_accepted(ca: Company, leaf: Issued) -> None:
    assert causes(ca.chain(leaf), leaf.key) == ""
    assert causes(ca.chain(leaf) + ca.root.pem, leaf.key) == ""


def test_key_of_another_certificate_is_a_finding(ca: Company, leaf: Issued) -> None:
    other = issue("shop", ca.intermediate, names=NAMES)
    assert causes(ca.chain(leaf), other.key) == "The private key does not belong to the certificate."


def test_leaf_alone_is_an_incomplete_chain(leaf: Issued) -> None:
    assert causes(leaf.pem, leaf.key) == "The chain is incomplete: the file has the server's certificate only."


def test_chain_in_another_order_is_told_from_one_with_a_gap(ca: Company, leaf: Issued) -> None:
    assert "The chain is out of order." in causes(leaf.pem + ca.root.pem + ca.intermediate.pem, leaf.key)
    assert causes(leaf.pem + ca.root.pem, leaf.key) == "The chain has a gap."
    assert "not the first of the file" in causes(ca.intermediate.pem + leaf.pem, leaf.key)


def test_issuer_with_the_right_name_and_another_key_is_a_gap(ca: Company, leaf: Issued) -> None:
    impostor = issue("Intermediate", ca.root, authority=True)
    assert causes(leaf.pem + impostor.pem, leaf.key) == "The chain has a gap."


def test_issuer_that_is_no_authority_is_a_finding(ca: Company) -> None:
    middle = issue("Middle", ca.intermediate, names=["middle.example.com"])
    leaf = issue("shop", middle, names=NAMES)
    assert "may not issue certificates" in causes(leaf.pem + middle.pem + ca.intermediate.pem, leaf.key)


@pytest.mark.parametrize(
    ("valid", "cause"),
    [((-90, -1), "Certificate 1 of the chain has expired."), ((1, 90), "Certificate 1 of the chain is not valid yet.")],
)
def test_certificate_out_of_its_time_is_a_finding(ca: Company, valid: tuple[int, int], cause: str) -> None:
    leaf = issue("shop", ca.intermediate, names=NAMES, valid=valid)
    assert causes(ca.chain(leaf), leaf.key) == cause


def test_expired_intermediate_is_a_finding(ca: Company) -> None:
    intermediate = issue("Old", ca.root, authority=True, valid=(-90, -1))
    leaf = issue("shop", intermediate, names=NAMES)
    assert causes(leaf.pem + intermediate.pem, leaf.key) == "Certificate 2 of the chain has expired."


def test_every_missing_name_is_listed(ca: Company) -> None:
    leaf = issue("shop", ca.intermediate, names=["shop.example.com"])
    found = causes(ca.chain(leaf), leaf.key, [*NAMES, "api.example.com"])
    assert found == "The certificate does not cover www.shop.example.com, api.example.com."


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("shop.example.com", True),
        ("SHOP.example.com", True),
        ("*.example.com", True),
        ("example.com", False),
        ("www.shop.example.com", False),
        ("shop.example.org", False),
        ("192.0.2.1", False),
    ],
)
def test_wildcard_stands_for_one_label(name: str, covered: bool) -> None:
    assert _certificate.covers({"*.example.com"}, name) is covered


def test_common_name_does_not_count_as_a_name(ca: Company) -> None:
    leaf = issue("shop.example.com", ca.intermediate)
    assert "does not cover shop.example.com" in causes(ca.chain(leaf), leaf.key, ["shop.example.com"])


def test_certificate_for_clients_is_a_finding(ca: Company) -> None:
    leaf = issue("shop", ca.intermediate, names=NAMES, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert causes(ca.chain(leaf), leaf.key) == "The certificate is not made for servers."


def test_short_rsa_key_is_a_finding(ca: Company) -> None:
    leaf = issue("shop", ca.intermediate, names=NAMES, key=rsa.generate_private_key(65537, 1024))
    assert causes(ca.chain(leaf), leaf.key) == "The key of certificate 1 of the chain is too short."


def test_encrypted_key_and_text_that_is_no_pem_are_findings(ca: Company, leaf: Issued) -> None:
    encrypted = key_pem(leaf.private, serialization.BestAvailableEncryption(b"x"))
    assert causes(ca.chain(leaf), encrypted) == "The private key cannot be read."
    assert causes("", "") == "The certificate file cannot be read.\nThe private key cannot be read."


def test_key_of_a_kind_browsers_do_not_know_is_judged_like_any_other(ca: Company, leaf: Issued) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert causes(ca.chain(leaf), key.decode()) == "The private key does not belong to the certificate."


def test_all_findings_come_at_once(ca: Company, leaf: Issued) -> None:
    bad = issue("shop", ca.intermediate, names=["other.example.com"], valid=(-90, -1))
    assert causes(bad.pem, leaf.key).splitlines() == [
        "The private key does not belong to the certificate.",
        "The chain is incomplete: the file has the server's certificate only.",
        "Certificate 1 of the chain has expired.",
        "The certificate does not cover shop.example.com, www.shop.example.com.",
    ]


def test_self_signed_certificate_is_a_finding_of_its_own(ca: Company, leaf: Issued) -> None:
    own = issue("shop", names=NAMES)
    assert causes(own.pem, own.key) == ""
    assert [finding.cause for finding in _certificate.self_signed_findings(Pair(own.pem, own.key))] == [
        "The certificate is self-signed."
    ]
    assert _certificate.self_signed_findings(Pair(ca.chain(leaf), leaf.key)) == []
