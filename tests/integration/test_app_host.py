# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises of the role app_host, on a Debian 12 and a Debian 13 host."""

from __future__ import annotations

import typing as t

import pytest
from hosts import DebianHost
from playbook import Outcome, run_play

ROOT = "/srv/shop"
DIRECTORIES = {
    "": ("shop", 0o750),
    "/project": ("shop", 0o750),
    "/releases": ("shop", 0o750),
    "/backups": ("shop", 0o700),
    "/nginx": ("shop", 0o755),
    "/tls": ("shop", 0o755),
    "/secrets": ("root", 0o700),
}


def apply(host: DebianHost, options: t.Sequence[str] = (), *, user: str = "shop") -> Outcome:
    """Run the role for a stack named shop."""
    services = {"db": {"uid": 999}, "redis": {"uid": 999}, "nginx": {"uid": 101}, "backend": {"uid": 10001}}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "roles": ["shipshape.stack.app_host"],
        "vars": {"stack_model": {"user": user, "root": ROOT, "services": services}},
    }
    return run_play([play], hosts=host.hosts, options=options)


@pytest.fixture(scope="module")
def app_host(debian_host: DebianHost) -> tuple[DebianHost, Outcome]:
    """Apply the role to the host; also return what check mode had said before."""
    checked = apply(debian_host, ["--check", "--diff"])
    assert not debian_host.machine.file(ROOT).exists
    assert apply(debian_host).returncode == 0
    return debian_host, checked


def test_check_mode_on_a_bare_host_announces_and_does_nothing(app_host: tuple[DebianHost, Outcome]) -> None:
    checked = app_host[1]
    assert checked.returncode == 0
    assert checked.counter("changed") >= 1


def test_service_account_cannot_log_in_and_shares_no_id_with_a_container(app_host: tuple[DebianHost, Outcome]) -> None:
    account = app_host[0].machine.user("shop")
    assert account.shell == "/usr/sbin/nologin"
    assert account.home == ROOT
    assert account.groups == ["shop"]
    assert account.uid < 999
    assert account.uid == account.gid
    assert account.uid != 101
    assert app_host[0].machine.check_output("getent shadow shop").split(":")[1].startswith("!")


def test_directories_belong_to_the_account_and_secrets_to_root(app_host: tuple[DebianHost, Outcome]) -> None:
    for name, (owner, mode) in DIRECTORIES.items():
        directory = app_host[0].machine.file(ROOT + name)
        assert (directory.user, directory.group, directory.mode) == (owner, owner, mode), name


def test_nobody_else_can_look_into_the_stack(app_host: tuple[DebianHost, Outcome]) -> None:
    assert app_host[0].machine.run(f"setpriv --reuid 65534 --clear-groups ls {ROOT}").rc != 0
    assert app_host[0].machine.run(f"setpriv --reuid 65534 --clear-groups ls {ROOT}/tls").rc != 0


def test_second_run_changes_nothing_and_a_loosened_mode_is_put_right(app_host: tuple[DebianHost, Outcome]) -> None:
    host = app_host[0]
    second = apply(host)
    assert (second.returncode, second.counter("changed")) == (0, 0)
    host.machine.check_output(f"chmod 0777 {ROOT}/secrets")
    assert apply(host).counter("changed") == 1
    assert host.machine.file(f"{ROOT}/secrets").mode == 0o700


def test_an_account_of_somebody_else_is_refused_and_left_alone(app_host: tuple[DebianHost, Outcome]) -> None:
    host = app_host[0]
    host.machine.check_output("useradd --create-home --shell /bin/bash alice")
    outcome = apply(host, user="alice")
    assert outcome.returncode == 2
    assert "home /home/alice, shell /bin/bash" in outcome.output
    assert "choose another stack_user" in outcome.output
    assert host.machine.user("alice").home == "/home/alice"
