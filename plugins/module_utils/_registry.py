# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the Engine about a registry: it is the Engine's proxies, mirrors and certificates that a pull will use."""

from __future__ import annotations

from ansible_collections.shipshape.stack.plugins.module_utils import _engine

try:
    import docker.errors
    import requests.exceptions
except ImportError:
    # _engine.connect() reports the missing SDK.
    pass


def objection(reference: str, timeout: int) -> str:
    """Return why the registry does not serve ``reference``, empty if it does; ``timeout`` is in seconds."""
    client = _engine.connect()
    client.api.timeout = timeout
    try:
        client.api.inspect_distribution(reference)
    except requests.exceptions.Timeout:
        return f"timeout: no answer within {timeout} s"
    except docker.errors.APIError as error:
        return str(error.explanation or error)
    return ""
