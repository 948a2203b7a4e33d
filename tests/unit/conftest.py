# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How hard the property tests look.

The same examples in every run, so that a failure is never somebody else's. `./run unit --hypothesis-profile=search`
looks at new ones, many more, and remembers what failed.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, max_examples=500, deadline=None)
settings.register_profile("search", max_examples=20_000, deadline=None)
settings.load_profile("repeatable")
