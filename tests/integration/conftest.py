# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the integration tests, and what they say when a test fails."""

from __future__ import annotations

import typing as t

import pytest
from hosts import DebianHost, debian_machine


@pytest.fixture(scope="session", params=["debian12", "debian13"])
def debian_host(request: pytest.FixtureRequest) -> t.Iterator[DebianHost]:
    """One host per Debian release, shared by all tests: pytest runs them release by release."""
    with debian_machine(request.param) as host:
        yield host


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the log of the host's Engine to the report of a test that failed on it."""
    report = yield
    host = getattr(item, "funcargs", {}).get("debian_host")
    if report.failed and isinstance(host, DebianHost):
        report.sections.append((f"Engine of {host.name}", host.engine_log()))
    return report
