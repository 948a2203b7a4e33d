# SPDX-License-Identifier: GPL-3.0-or-later
"""The API. Start it with `uvicorn app.main:app`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
from fastapi import FastAPI, Request, Response, WebSocket, status
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app import store
from app.api import router
from app.db import engine
from app.live import ChangeFeed
from app.root_path import RootPathMiddleware
from app.schemas import Health, Readiness, Version
from app.settings import WebSettings, load_settings

logger = logging.getLogger(__name__)
settings = load_settings(WebSettings)
feed = ChangeFeed()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with feed.running():
        yield
    store.client.close()
    engine.dispose()


app = FastAPI(
    title="Trolley",
    summary="A shared shopping list",
    version=settings.app_version,
    lifespan=lifespan,
)
app.add_middleware(RootPathMiddleware, root_path=settings.root_path)
app.include_router(router)


@app.exception_handler(OperationalError)
@app.exception_handler(PoolTimeoutError)
async def database_unavailable(_request: Request, error: Exception) -> JSONResponse:
    logger.error("database is not available: %s", error)
    return JSONResponse(
        {"detail": "the database is not available"}, status.HTTP_503_SERVICE_UNAVAILABLE
    )


@app.get("/health")
async def health() -> Health:
    """The process answers. Says nothing about what it depends on."""
    return Health(status="ok")


@app.get("/health/ready", responses={503: {"model": Readiness}})
def ready(response: Response) -> Readiness:
    """The database and Redis answer too."""
    checks = {"database": _database_state(), "redis": _redis_state()}
    healthy = set(checks.values()) == {"ok"}
    if not healthy:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(status="ready" if healthy else "unavailable", **checks)


@app.get("/version")
async def version() -> Version:
    """Which release, and which of the replicas, answered."""
    return Version(version=settings.app_version, hostname=settings.hostname)


@app.websocket("/ws")
async def changes(socket: WebSocket) -> None:
    await feed.serve(socket)


def _database_state() -> str:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        logger.warning("database is not ready: %s", error)
        return "failed"
    return "ok"


def _redis_state() -> str:
    try:
        store.client.ping()
    except redis.RedisError as error:
        logger.warning("Redis is not ready: %s", error)
        return "failed"
    return "ok"
