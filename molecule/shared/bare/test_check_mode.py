# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What check mode leaves behind on a bare host: nothing."""

from __future__ import annotations

from testinfra.host import Host


def test_check_mode_did_nothing(host: Host) -> None:
    assert not host.exists("dockerd")
    assert not host.exists("mmdebstrap")
    assert not host.file("/etc/docker").exists
    assert not host.file("/srv/shop").exists
    assert not host.user("shop").exists
