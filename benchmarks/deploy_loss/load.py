# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send requests at fixed moments, none of them twice, and print at the end what became of each, a line of JSON each.

    python load.py CA PORT RATE SECONDS

Four streams of RATE requests a second each, GET and POST, with and without keep-alive, and every SLOW_EVERY seconds one
to /slow. hey does not do this: its workers wait for an answer before they send the next request, so an outage delays
what would have been lost; a request that failed is missing in its list; and Go's client repeats a request by itself
when a kept-alive connection turns out to be closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import time
import typing as t
from dataclasses import dataclass, field

NAME = "shop.test"
TIMEOUT = 15.0
SLOW_EVERY = 4.0
SLOW_TIMEOUT = 30.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Client:
    """Where requests go, and the connections that are kept for the next one of a stream."""

    port: int
    tls: ssl.SSLContext
    idle: dict[str, list[Connection]] = field(default_factory=dict)
    answers: list[dict[str, t.Any]] = field(default_factory=list)

    async def connect(self, stream: str) -> Connection:
        """Return a kept connection that the server has not closed, or a new one."""
        kept = self.idle.setdefault(stream, [])
        while kept:
            reader, writer = kept.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname=NAME)

    async def exchange(self, stream: str, method: str, path: str, keep: bool) -> tuple[int, dict[str, str]]:
        """Send a request and return status and headers of the answer; raises what goes wrong."""
        reader, writer = await self.connect(stream)
        try:
            body = b'{"item": 1}' if method == "POST" else b""
            lines = [f"{method} {path} HTTP/1.1", f"Host: {NAME}", f"Connection: {'keep-alive' if keep else 'close'}"]
            lines += [f"Content-Length: {len(body)}"] if body else []
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value for name, _colon, value in (line.partition(": ") for line in head[1:] if line)
            }
            await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.transport.abort()
            raise
        if keep and headers.get("connection") != "close":
            self.idle[stream].append((reader, writer))
        else:
            writer.close()
        return int(head[0].split(" ")[1]), headers

    async def send(self, stream: str, method: str, path: str, keep: bool, due: float) -> None:
        """Send one request and note what became of it; ``due`` is when it is to be sent, in seconds of the epoch."""
        status, reason = 0, ""
        headers: dict[str, str] = {}
        try:
            timeout = SLOW_TIMEOUT if path == "/slow" else TIMEOUT
            status, headers = await asyncio.wait_for(self.exchange(stream, method, path, keep), timeout)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            reason = f"{type(error).__name__}: {error}"
        entry: dict[str, t.Any] = {"stream": stream, "start": due, "seconds": time.time() - due}
        entry |= {"version": headers.get("x-version", ""), "container": headers.get("x-container", "")}
        self.answers.append(entry | {"reason": reason or ("" if status == 200 else f"status {status}")})


async def stream(client: Client, name: str, method: str, path: str, keep: bool, rate: float, seconds: float) -> None:
    """Send the requests of a stream, each at its moment whatever became of those before."""
    started, sent = time.time(), []
    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.time()))
        sent.append(asyncio.create_task(client.send(name, method, path, keep, due)))
    await asyncio.gather(*sent)


async def main() -> None:
    """Send all of it."""
    ca, port, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    client = Client(port, ssl.create_default_context(cafile=ca))
    streams = []
    for number, (method, keep) in enumerate((method, keep) for method in ("GET", "POST") for keep in (True, False)):
        await asyncio.sleep(0.25 / rate if number else 0)
        name = f"{method} {'keep-alive' if keep else 'close'}"
        streams.append(asyncio.create_task(stream(client, name, method, "/", keep, rate, seconds)))
    # The last of them is answered when the others end.
    streams.append(asyncio.create_task(stream(client, "slow", "GET", "/slow", False, 1 / SLOW_EVERY, seconds - 8)))
    await asyncio.gather(*streams)
    # Not before: who reads them may do so at the end, and a full pipe would hold the requests up.
    print("\n".join(map(json.dumps, client.answers)))
    for _reader, writer in (connection for kept in client.idle.values() for connection in kept):
        with contextlib.suppress(OSError):
            writer.close()


if __name__ == "__main__":
    asyncio.run(main())
