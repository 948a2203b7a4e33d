# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the integration tests, and what they say when a test fails."""

from __future__ import annotations

import typing as t

import pytest
from engines import Machine
from hosts import DebianHost, debian_machine
from rollout import SharedSite, Site


@pytest.fixture(scope="session")
def bare_host() -> t.Iterator[DebianHost]:
    """A Debian 13 host with nothing of Docker, shared by all tests: none installs an Engine on it."""
    with debian_machine("debian13") as host:
        yield host


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[SharedSite]:
    shared = SharedSite(tmp_path_factory)
    yield shared
    shared.close()


@pytest.fixture
def site(shared_site: SharedSite) -> Site:
    """A site that serves; the test leaves it with a version that serves, too."""
    return shared_site.lend()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the log of the host's Engine to the report of a test that failed on it."""
    report = yield
    for host in getattr(item, "funcargs", {}).values():
        if report.failed and isinstance(host, DebianHost | Machine):
            report.sections.append((f"Engine of {host.name}", host.engine_log()))
    return report
