# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts back the path prefix that the proxy has stripped."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPathMiddleware:
    """Makes redirects and the documentation link to where the browser finds them.

    ASGI wants the path to include the root path, so both are set.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._root_path and scope["type"] in {"http", "websocket"}:
            scope = {**scope, "root_path": self._root_path, "path": self._full(scope["path"])}
        await self._app(scope, receive, send)

    def _full(self, path: str) -> str:
        if path.startswith(f"{self._root_path}/"):
            return path
        return f"{self._root_path}{path}"
