# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the checkout the collection, whatever its folder is called, for Python and for Ansible's own loader."""

from __future__ import annotations

import functools
import importlib.util
import sys
import typing as t
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
COLLECTIONS = REPOSITORY / ".cache/collections"
LINK = COLLECTIONS / "ansible_collections/shipshape/stack"

if not LINK.exists():
    LINK.unlink(missing_ok=True)
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.symlink_to(REPOSITORY)
    importlib.invalidate_caches()

# Not in pytest's settings: ansible-test brings its own.
sys.path[:0] = [str(REPOSITORY / "tests/support"), str(REPOSITORY / "tests/integration")]

# ansible-test runs the tests of module_utils as on a host, without the rest of ansible-core; they render nothing.
if importlib.util.find_spec("ansible.plugins"):
    from ansible.plugins.loader import init_plugin_loader
    from ansible.utils.collection_loader import AnsibleCollectionConfig

    # Before the first import from a collection: Ansible finds roles and plugins only in collections it loaded itself.
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader([str(COLLECTIONS)])

from declarations import DECLARATIONS, Declaration

if t.TYPE_CHECKING:
    from rendering import Rendered


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> t.Callable[[Declaration], Rendered]:
    """Render a declaration, each one once in a session."""
    from rendering import render_declaration

    @functools.cache
    def render_once(declaration: Declaration) -> Rendered:
        return render_declaration(declaration, tmp_path_factory.mktemp("declaration"))

    return render_once


@pytest.fixture(params=DECLARATIONS, ids=lambda declaration: declaration.name)
def rendered(request: pytest.FixtureRequest, render: t.Callable[[Declaration], Rendered]) -> Rendered:
    """Every declaration of the matrix, rendered."""
    return render(request.param)
