# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load on the site of a scenario from outside its host, until the file STOP appears: about 200 requests a second.

`load.py PORT CA STOP REPORT`. A request is lost when it is not answered with what was asked for; none is tried again.
The report is one JSON object: numbers of requests by method, each loss in words, and the slowest answer in seconds.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

DOMAIN = "shop.example.com"
RATE = 25.0
"""Requests a second of each client."""
CLIENTS = [("GET", True), ("GET", True), ("GET", True), ("GET", False), ("GET", False)]
CLIENTS += [("POST", True), ("POST", True), ("POST", False)]
TIMEOUT = 15.0


@dataclass
class Client:
    """One client with a connection of its own, or with one for each request."""

    method: str
    keep_alive: bool
    port: int
    trust: ssl.SSLContext
    sent: int = 0
    slowest: float = 0.0
    losses: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Send requests at RATE; one that takes longer does not lower the number of those that follow."""
        connection: http.client.HTTPConnection | None = None
        due = time.monotonic()
        while not stop.wait(max(due - time.monotonic(), 0.0)):
            due += 1 / RATE
            self.sent += 1
            began = time.monotonic()
            try:
                connection = connection or self.connect()
                again = self.ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.losses.append(f"{time.time():.2f} {self.method}: {error!r}")
                again = False
            if connection is not None and not (again and self.keep_alive):
                connection.close()
                connection = None
            self.slowest = max(self.slowest, time.monotonic() - began)

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection; the certificate is verified."""
        connection = http.client.HTTPConnection(DOMAIN, timeout=TIMEOUT)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        connection.sock = self.trust.wrap_socket(plain, server_hostname=DOMAIN)
        return connection

    def ask(self, connection: http.client.HTTPConnection) -> bool:
        """Send one request; return whether the connection may be used again."""
        body = json.dumps({"name": f"load {uuid.uuid4()}"}) if self.method == "POST" else None
        # 409 is the example's own answer, from the database, once its list is full.
        path, expected = ("/api/items", (201, 409)) if body else ("/api/health/ready", (200,))
        connection.request(self.method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in expected:
            self.losses.append(f"{time.time():.2f} {self.method}: status {answer.status}")
        return not answer.will_close


def main() -> None:
    """Load the site until the file appears."""
    port, authority, stop_file, report = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    trust = ssl.create_default_context(cafile=authority)
    clients = [Client(method, keep_alive, port, trust) for method, keep_alive in CLIENTS]
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    # The playbook and this program share nothing but files, and a file that appears gives no event without inotify.
    while not stop_file.exists():
        time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    sent = {method: sum(item.sent for item in clients if item.method == method) for method in ("GET", "POST")}
    losses = sorted(loss for client in clients for loss in client.losses)
    slowest = max(client.slowest for client in clients)
    report.write_text(json.dumps({"sent": sent, "lost": len(losses), "losses": losses[:50], "slowest": slowest}))


if __name__ == "__main__":
    main()
