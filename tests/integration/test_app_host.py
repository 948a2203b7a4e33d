# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What app_host promises beside the scenarios of molecule/: it mends what is loose and touches nobody else's."""

from __future__ import annotations

import typing as t

import pytest
from hosts import DebianHost
from playbook import Outcome, run_play

ROOT = "/srv/shop"


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
def app_host(bare_host: DebianHost) -> tuple[DebianHost, Outcome]:
    """Apply the role to the host; also return what check mode had said before."""
    checked = apply(bare_host, ["--check", "--diff"])
    assert not bare_host.machine.file(ROOT).exists
    assert apply(bare_host).returncode == 0
    return bare_host, checked


def test_check_mode_on_a_bare_host_announces_and_does_nothing(app_host: tuple[DebianHost, Outcome]) -> None:
    checked = app_host[1]
    assert checked.returncode == 0
    assert checked.counter("changed") >= 1


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
