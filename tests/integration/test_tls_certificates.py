# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate of a stack: issued, renewed, taken over, refused."""

from __future__ import annotations

import stat
import subprocess
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certificates import Company, company, issue
from cryptography import x509
from hosts import DebianHost
from playbook import LOCAL, Outcome, run_play

NAMES = ("shop.test", "www.shop.test")
PLAY: list[dict[str, t.Any]] = [
    {
        "hosts": "all",
        "gather_facts": False,
        "roles": ["shipshape.stack.tls_certificates"],
        "tasks": [
            {
                "name": "Show the result",
                "ansible.builtin.debug": {"msg": "reasons: {{ tls_certificates_result.reasons | join('; ') }}"},
            }
        ],
    }
]


def model(root: Path | str, provider: str = "self_signed", names: t.Sequence[str] = NAMES) -> dict[str, t.Any]:
    return {
        "name": "shop",
        "root": str(root),
        "server_names": list(names),
        "tls_provider": provider,
        "services": {"nginx": {"uid": 101, "gid": 101}},
    }


def apply(declared: dict[str, t.Any], *arguments: str, **variables: t.Any) -> Outcome:
    outcome = run_play(PLAY, extra_vars={"stack_model": declared} | variables, options=arguments)
    assert outcome.returncode == 0
    return outcome


def leaf(root: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((root / "tls/fullchain.pem").read_bytes())


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def access(path: Path) -> tuple[str, int]:
    return stat.filemode(path.stat().st_mode), path.stat().st_uid


# A local CA


def test_certificate_is_issued_once_and_verifies(tmp_path: Path) -> None:
    first = apply(model(tmp_path), tls_certificates_extra_names=["localhost", "127.0.0.1"])
    before = content(tmp_path)
    second = apply(model(tmp_path), tls_certificates_extra_names=["localhost", "127.0.0.1"])
    assert (first.counter("changed"), second.counter("changed")) == (1, 0)
    assert content(tmp_path) == before
    assert access(tmp_path / "tls") == ("drwxr-xr-x", 0)
    assert access(tmp_path / "tls/privkey.pem") == ("-rw-------", 101)
    assert access(tmp_path / "tls/ca") == ("drwx------", 0)
    assert access(tmp_path / "tls/ca/ca.key") == ("-rw-------", 0)
    verify = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(tmp_path / "tls/ca/ca.pem")]
    for name in (["-verify_hostname", "www.shop.test"], ["-verify_ip", "127.0.0.1"]):
        subprocess.run([*verify, *name, str(tmp_path / "tls/fullchain.pem")], check=True)


def test_certificate_is_renewed_before_it_expires_by_the_same_authority(tmp_path: Path) -> None:
    apply(model(tmp_path), tls_certificates_valid_days=40)
    authority, old = (tmp_path / "tls/ca/ca.pem").read_text(), leaf(tmp_path)
    checked = apply(model(tmp_path), "--check", tls_certificates_renew_before=45)
    assert (checked.counter("changed"), leaf(tmp_path)) == (1, old)
    outcome = apply(model(tmp_path), "--diff", tls_certificates_renew_before=45)
    assert outcome.counter("changed") == 1
    assert f"reasons: the certificate expires on {old.not_valid_after_utc:%Y-%m-%d}" in outcome.output
    assert leaf(tmp_path).not_valid_after_utc - datetime.now(UTC) > timedelta(days=390)
    assert (tmp_path / "tls/ca/ca.pem").read_text() == authority
    assert "PRIVATE KEY" not in outcome.output


def test_bare_host_gets_what_it_takes(bare_host: DebianHost) -> None:
    declared = {"stack_model": model("/srv/tls-test")}
    checked = run_play(PLAY, hosts=bare_host.hosts, extra_vars=declared, options=["--check"])
    assert (checked.returncode, bare_host.machine.file("/srv/tls-test").exists) == (0, False)
    assert checked.counter("changed") >= 1
    assert run_play(PLAY, hosts=bare_host.hosts, extra_vars=declared).returncode == 0
    key = bare_host.machine.file("/srv/tls-test/tls/privkey.pem")
    assert (key.mode, key.uid) == (0o600, 101)
    again = run_play(PLAY, hosts=bare_host.hosts, extra_vars=declared)
    assert (again.returncode, again.counter("changed")) == (0, 0)


# A provided pair


@pytest.fixture(scope="module")
def ca() -> Company:
    return company()


def provided(directory: Path, certificate: str, key: str) -> dict[str, t.Any]:
    """Write a pair where the controller finds it and return the role's variables for it."""
    directory.mkdir(parents=True)
    (directory / "fullchain.pem").write_text(certificate)
    (directory / "key.pem").write_text(key)
    return {
        "stack_model": model(directory / "root", "provided"),
        "tls_certificates_provided_fullchain": str(directory / "fullchain.pem"),
        "tls_certificates_provided_key": str(directory / "key.pem"),
    }


def test_pair_that_cannot_be_used_is_refused_with_every_finding(tmp_path: Path, ca: Company) -> None:
    good = issue("shop", ca.intermediate, names=["*.test", "*.shop.test"])
    expired = issue("shop", ca.intermediate, names=["other.test"], valid=(-90, -1))
    own = issue("shop", names=NAMES)
    refused = {
        "mismatch": (ca.chain(good), expired.key, ["The private key does not belong to the certificate."]),
        "incomplete": (good.pem, good.key, ["The chain is incomplete: the file has the server's certificate only."]),
        "selfsigned": (own.pem, own.key, ["The certificate is self-signed."]),
        "everything": (
            expired.pem,
            good.key,
            [
                "The private key does not belong to the certificate.",
                "The chain is incomplete: the file has the server's certificate only.",
                "Certificate 1 of the chain has expired.",
                "The certificate does not cover shop.test, www.shop.test.",
            ],
        ),
    }
    hosts = {
        name: LOCAL | provided(tmp_path / name, certificate, key)
        for name, (certificate, key, _causes) in (refused | {"good": (ca.chain(good), good.key, [])}).items()
    }
    hosts["unset"] = LOCAL | {"stack_model": model(tmp_path / "unset/root", "provided")}
    outcome = run_play(PLAY, hosts=hosts)
    assert outcome.returncode != 0
    for name, (_certificate, key, causes) in refused.items():
        section = outcome.output.split(f"fatal: [{name}]")[1].split("fatal:")[0]
        assert [cause for cause in causes if cause not in " ".join(section.split())] == []
        assert not (tmp_path / name / "root").exists()
        assert key.splitlines()[1] not in outcome.output
    assert "tls_certificates_provided_key is not set" in " ".join(outcome.output.split())
    assert leaf(tmp_path / "good/root") == good.certificate
    assert access(tmp_path / "good/root/tls/privkey.pem") == ("-rw-------", 101)
