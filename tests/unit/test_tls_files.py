# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TLS directory on a real disk: what is written, kept and replaced."""

from __future__ import annotations

import os
import stat
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certificates import Company, Issued, company, issue

from ansible_collections.shipshape.stack.plugins.module_utils import _tls_files
from ansible_collections.shipshape.stack.plugins.module_utils._certificate import Pair
from ansible_collections.shipshape.stack.plugins.module_utils._tls_files import CertificateRefusedError, Plan

NAMES = ("shop.test", "www.shop.test")
NOW = datetime.now(UTC)
OWNER = {"uid": os.getuid(), "gid": os.getgid()}


@pytest.fixture(scope="module")
def ca() -> Company:
    return company()


def self_signed(directory: Path, names: t.Sequence[str] = NAMES, *, days_later: int = 0, valid_days: int = 397) -> Plan:
    now = NOW + timedelta(days=days_later)
    return _tls_files.plan_self_signed(
        directory, names, authority_name="shop", valid_days=valid_days, renew_before=30, now=now, **OWNER
    )


def provided(directory: Path, ca: Company, leaf: Issued, *, key: str = "", accepted: t.Sequence[str] = ()) -> Plan:
    pair = Pair(ca.chain(leaf), key or leaf.key)
    return _tls_files.plan_provided(directory, pair, NAMES, accepted=accepted, now=NOW, **OWNER)


def content(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def test_what_is_good_stays(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    first = self_signed(tls)
    assert first.differs()
    assert not tls.exists()
    _tls_files.apply(first, tls)
    before = content(tls)
    again = self_signed(tls, days_later=360)
    assert (again.differs(), again.reasons) == (False, ())
    _tls_files.apply(again, tls)
    assert content(tls) == before


def test_keys_are_readable_by_their_users_only(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    _tls_files.apply(self_signed(tls), tls)
    modes = {name: mode(tls / name) for name in (".", "privkey.pem", "fullchain.pem", "ca", "ca/ca.key", "ca/ca.pem")}
    assert modes == {
        ".": "drwxr-xr-x",
        "privkey.pem": "-rw-------",
        "fullchain.pem": "-rw-r--r--",
        "ca": "drwx------",
        "ca/ca.key": "-rw-------",
        "ca/ca.pem": "-rw-r--r--",
    }
    (tls / "privkey.pem").chmod(0o644)
    repair = self_signed(tls)
    assert (repair.differs(), repair.reasons) == (True, ())
    _tls_files.apply(repair, tls)
    assert mode(tls / "privkey.pem") == "-rw-------"


@pytest.mark.parametrize(
    ("names", "days_later", "reason"),
    [(NAMES, 370, "the certificate expires on"), (["store.test"], 0, "the names change")],
)
def test_new_certificate_comes_from_the_same_authority(
    tmp_path: Path, names: list[str], days_later: int, reason: str
) -> None:
    _tls_files.apply(self_signed(tmp_path), tmp_path)
    before = content(tmp_path)
    plan = self_signed(tmp_path, names, days_later=days_later)
    assert plan.reasons[0].startswith(reason)
    _tls_files.apply(plan, tmp_path)
    after = content(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"fullchain.pem", "privkey.pem"}
    assert _tls_files.describe(plan.certificate)["names"] == sorted(names)


def test_authority_at_its_end_is_replaced_with_all_it_issued(tmp_path: Path) -> None:
    _tls_files.apply(self_signed(tmp_path), tmp_path)
    plan = self_signed(tmp_path, days_later=3640)
    assert [reason.split(" expires")[0] for reason in plan.reasons[:2]] == [
        "the local CA",
        "the certificate was not issued by the local CA",
    ]
    _tls_files.apply(plan, tmp_path)
    assert not self_signed(tmp_path, days_later=3640).differs()


@pytest.mark.parametrize("damaged", ["fullchain.pem", "privkey.pem", "ca/ca.key", "ca/ca.pem"])
def test_damaged_or_missing_file_is_replaced(tmp_path: Path, damaged: str) -> None:
    _tls_files.apply(self_signed(tmp_path), tmp_path)
    (tmp_path / damaged).write_text("not PEM")
    _tls_files.apply(self_signed(tmp_path), tmp_path)
    assert not self_signed(tmp_path).differs()
    (tmp_path / damaged).unlink()
    _tls_files.apply(self_signed(tmp_path), tmp_path)
    assert not self_signed(tmp_path).differs()


def test_live_pair_is_kept_when_the_new_one_is_refused(tmp_path: Path, ca: Company) -> None:
    good, other = (issue("shop", ca.intermediate, names=NAMES) for _number in range(2))
    _tls_files.apply(provided(tmp_path, ca, good), tmp_path)
    assert not provided(tmp_path, ca, good).differs()
    before = content(tmp_path)
    with pytest.raises(CertificateRefusedError) as refused:
        provided(tmp_path, ca, good, key=other.key)
    assert refused.value.result()["findings"][0]["cause"] == "The private key does not belong to the certificate."
    assert content(tmp_path) == before


def test_change_of_provider_keeps_the_authority(tmp_path: Path, ca: Company) -> None:
    _tls_files.apply(self_signed(tmp_path), tmp_path)
    authority = (tmp_path / "ca/ca.key").read_text()
    plan = provided(tmp_path, ca, issue("shop", ca.intermediate, names=NAMES))
    assert plan.reasons == ("another certificate or key is provided",)
    _tls_files.apply(plan, tmp_path)
    assert (tmp_path / "fullchain.pem").read_text() == plan.certificate
    back = self_signed(tmp_path)
    assert back.reasons == ("the certificate was not issued by the local CA",)
    _tls_files.apply(back, tmp_path)
    assert (tmp_path / "ca/ca.key").read_text() == authority


def test_self_signed_certificate_has_to_be_accepted(tmp_path: Path) -> None:
    own = issue("shop", names=NAMES)
    pair = Pair(own.pem, own.key)
    with pytest.raises(CertificateRefusedError, match="self-signed"):
        _tls_files.plan_provided(tmp_path, pair, NAMES, accepted=[], now=NOW, **OWNER)
    accepted = _tls_files.plan_provided(tmp_path, pair, NAMES, accepted=["self_signed"], now=NOW, **OWNER)
    assert accepted.certificate == own.pem
