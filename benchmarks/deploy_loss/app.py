# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application that is deployed: HTTP/1.1 on port 8000, after BOOT seconds, from nothing but Python.

It stops as uvicorn does: on SIGTERM it takes no more connections, closes the idle ones, finishes the requests in
flight with `Connection: close`, and exits. BEHAVIOUR says what is wrong with a release.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

BEHAVIOUR = os.environ.get("BEHAVIOUR", "good")
"""good; crash: exits before it listens; sick: its health is 503; dies: exits DIES_AFTER seconds after it was healthy;
wrong: answers 500 to all but the healthcheck."""
VERSION = os.environ.get("VERSION", "1")
BOOT = float(os.environ.get("BOOT", "3"))
STATE = Path(os.environ.get("STATE", "/state"))
IDENTITY = f"X-Version: {VERSION}\r\nX-Container: {socket.gethostname()}\r\n"
SLOW_SECONDS = 10.0
DIES_AFTER = 3.0
KEEP_ALIVE_SECONDS = 5.0

stopping = asyncio.Event()
requests_in_flight: set[asyncio.StreamWriter] = set()
connections: set[asyncio.StreamWriter] = set()


def answer(method: str, path: str) -> tuple[int, bytes]:
    """Return status and body."""
    if path == "/health":
        if BEHAVIOUR == "dies":
            asyncio.get_running_loop().call_later(DIES_AFTER, os._exit, 1)
        return (503, b"sick\n") if BEHAVIOUR == "sick" else (200, b"healthy\n")
    if BEHAVIOUR == "wrong":
        return 500, json.dumps({"version": "wrong"}).encode()
    if path == "/version":
        return 200, json.dumps({"version": VERSION}).encode()
    if method == "POST":
        # One byte for each, so that the size of the file counts them, whichever container wrote it.
        with (STATE / "posts").open("ab", buffering=0) as posts:
            posts.write(b".")
    return 200, b"hello\n"


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str] | None:
    """Read a request with its body and return method and path; None when the client has closed the connection."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), KEEP_ALIVE_SECONDS)
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    for line in lines:
        if line.lower().startswith("content-length:"):
            await reader.readexactly(int(line.split(":")[1]))
    method, path, _protocol = first.split(" ")
    return method, path


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of a connection."""
    connections.add(writer)
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while not stopping.is_set():
            request = await read_request(reader)
            if request is None:
                break
            requests_in_flight.add(writer)
            if request[1] == "/slow":
                await asyncio.sleep(SLOW_SECONDS)
            status, body = answer(*request)
            close = "close" if stopping.is_set() else "keep-alive"
            head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nConnection: {close}\r\n{IDENTITY}\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            requests_in_flight.discard(writer)
    requests_in_flight.discard(writer)
    connections.discard(writer)
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def main() -> None:
    """Serve until SIGTERM."""
    # Twice the backlog of asyncio's default: the accept queue is nobody's bottleneck here.
    server = await asyncio.start_server(serve, "0.0.0.0", 8000, backlog=256)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    server.close()
    for writer in connections - requests_in_flight:
        writer.close()
    while requests_in_flight:
        await asyncio.sleep(0.01)
    # What was written last is on its way.
    await asyncio.sleep(0.05)


if __name__ == "__main__":
    time.sleep(BOOT)
    if BEHAVIOUR == "crash":
        sys.exit("This release does not start.")
    asyncio.run(main())
