# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of every scenario use."""

from __future__ import annotations

import typing as t

import pytest
from testinfra.host import Host


@pytest.fixture
def root(host: Host) -> t.Iterator[Host]:
    """The host, with sudo for as long as one test runs: without this fixture a test is the unprivileged user."""
    with host.sudo():
        yield host
