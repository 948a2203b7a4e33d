# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis: the cached list and the announcements of its changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import redis
from pydantic import BaseModel

from app.settings import RedisSettings, load_settings

logger = logging.getLogger(__name__)

REDIS_URL = load_settings(RedisSettings).redis_url.get_secret_value()
CHANNEL = "trolley:changes"
_GENERATION = "trolley:generation"
_CACHE_SECONDS = 30

client = redis.Redis.from_url(
    REDIS_URL, socket_connect_timeout=2, socket_timeout=2, health_check_interval=30
)

ChangeType = Literal["item.added", "item.changed", "item.sorted", "item.removed", "list.cleared"]


class Change(BaseModel):
    """Tells a browser that the list is no longer what it fetched last."""

    type: ChangeType
    item_id: int | None = None


def announce(change: Change) -> None:
    """Make the cached list obsolete and tell every open browser. Call it after the commit."""
    try:
        with client.pipeline() as pipeline:
            pipeline.incr(_GENERATION)
            pipeline.publish(CHANNEL, change.model_dump_json())
            pipeline.execute()
    except redis.RedisError:
        # The change itself is stored. Browsers that lost the feed refetch when it is back, and
        # a cached list outlives its truth by _CACHE_SECONDS at most.
        logger.exception("change %s could not be announced", change.type)


def cached(name: str, produce: Callable[[], bytes]) -> tuple[bytes, bool]:
    """Return the value and whether it came from the cache.

    The key holds the generation seen *before* producing, so a value read while somebody else
    was writing is stored under a generation that nobody asks for any more.
    """
    try:
        generation = int(client.get(_GENERATION) or 0)
        key = f"trolley:{name}:{generation}"
        hit = client.get(key)
        if isinstance(hit, bytes):
            return hit, True
        value = produce()
        client.set(key, value, ex=_CACHE_SECONDS)
    except redis.RedisError as error:
        logger.warning("cache is not available: %s", error)
        return produce(), False
    return value, False
