# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes announcements from Redis to the connected browsers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import redis.asyncio
from fastapi import WebSocket
from starlette.responses import JSONResponse

from app.store import CHANNEL, REDIS_URL

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1
_BACKLOG = 100
_TRY_AGAIN_LATER = 1013

# None ends the subscription.
Mailbox = asyncio.Queue[str | None]


class ChangeFeed:
    """One Redis subscription per process, fanned out to its WebSockets."""

    def __init__(self) -> None:
        self._mailboxes: set[Mailbox] = set()
        self._connected = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        listener = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    async def _listen(self) -> None:
        while True:
            try:
                await self._relay()
            except (redis.RedisError, OSError) as error:
                logger.warning("change feed lost Redis: %s", error)
            self._disconnect()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _relay(self) -> None:
        client = redis.asyncio.Redis.from_url(
            REDIS_URL, socket_connect_timeout=2, health_check_interval=10
        )
        async with client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(CHANNEL)
            self._connected = True
            async for message in pubsub.listen():
                self._broadcast(message["data"].decode())

    def _broadcast(self, text: str) -> None:
        for mailbox in list(self._mailboxes):
            try:
                mailbox.put_nowait(text)
            except asyncio.QueueFull:
                self._close(mailbox)

    def _disconnect(self) -> None:
        self._connected = False
        for mailbox in list(self._mailboxes):
            self._close(mailbox)

    def _close(self, mailbox: Mailbox) -> None:
        self._mailboxes.discard(mailbox)
        while not mailbox.empty():
            mailbox.get_nowait()
        mailbox.put_nowait(None)

    async def serve(self, socket: WebSocket) -> None:
        """Push changes to one browser until either side goes away.

        While Redis is away nothing can be pushed: the browser is turned away, shows itself as
        offline and comes back by itself.
        """
        if not self._connected:
            await socket.send_denial_response(
                JSONResponse({"detail": "live updates are not available"}, status_code=503)
            )
            return
        await socket.accept()
        mailbox: Mailbox = asyncio.Queue(_BACKLOG)
        self._mailboxes.add(mailbox)
        sender = asyncio.create_task(_send(mailbox, socket))
        try:
            await _until_disconnect(socket)
        finally:
            self._mailboxes.discard(mailbox)
            sender.cancel()


async def _until_disconnect(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _send(mailbox: Mailbox, socket: WebSocket) -> None:
    while (text := await mailbox.get()) is not None:
        await socket.send_text(text)
    await socket.close(_TRY_AGAIN_LATER)
