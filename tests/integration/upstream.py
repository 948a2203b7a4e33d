# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service behind the edge that answers with what it was asked. Runs in a container.

`python3 -c SOURCE NAME PORT [LIMIT]`; with a limit it dies of that many requests, and one.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT = int(sys.argv[3]) if len(sys.argv) > 3 else 0
TYPES = {"/large.txt": "text/plain", "/large.png": "image/png", "/large.json": "application/json"}


served = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    """Echo requests as JSON, and bytes once a connection was upgraded."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer any method."""
        if self.headers["Upgrade"]:
            self.echo()
            return
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = self.path.partition("?")[0]
        if LIMIT and next(served) > LIMIT:
            print("RuntimeError: too many requests", flush=True)
            os._exit(7)
        if path.startswith("/slow/"):
            time.sleep(float(path.removeprefix("/slow/")))
        asked = {"service": sys.argv[1], "method": self.command, "path": self.path, "received": len(body)}
        content = json.dumps(asked | {"headers": {key.lower(): value for key, value in self.headers.items()}}).encode()
        content = b"x" * 20_000 if path in TYPES else content
        self.send_response(404 if path.endswith("/missing") else 200)
        self.send_header("Content-Type", TYPES.get(path, "application/json"))
        self.send_header("Content-Length", str(len(content)))
        if path.endswith("/own-policy"):
            self.send_header("Content-Security-Policy", "default-src 'none'")
            self.send_header("X-Request-ID", "not-the-edge's")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = answer

    def echo(self) -> None:
        """Accept the upgrade and send back every byte."""
        self.send_response(101)
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("Connection", "upgrade")
        self.end_headers()
        while data := self.connection.recv(1024):
            self.connection.sendall(data)
        self.close_connection = True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = ThreadingHTTPServer(("", int(sys.argv[2])), Handler)
    print(f"listening {time.time()}", flush=True)
    server.serve_forever()
