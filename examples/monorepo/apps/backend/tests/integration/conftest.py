# SPDX-License-Identifier: GPL-3.0-or-later
"""Needs DATABASE_URL and REDIS_URL of a scratch database and a scratch Redis."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

os.environ.setdefault("SECRET_KEY", "integration-tests-only")
from celery.contrib.testing.worker import start_worker
from fastapi.testclient import TestClient
from sqlalchemy import delete, func, select

from app.db import SessionFactory
from app.main import app
from app.models import Item
from app.store import Change, announce
from app.tasks import celery_app

BACKEND = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def alembic_config() -> Config:
    return Config(BACKEND / "alembic.ini")


@pytest.fixture(scope="session")
def database(alembic_config: Config) -> None:
    command.upgrade(alembic_config, "head")
    with SessionFactory() as session:
        if session.scalar(select(func.count()).select_from(Item)):
            pytest.exit("the database holds a list: use an empty one", returncode=2)


@pytest.fixture
def client(database: None) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client
    with SessionFactory.begin() as session:
        session.execute(delete(Item))
    celery_app.control.purge()
    announce(Change(type="list.cleared"))


@pytest.fixture
def worker(client: TestClient) -> Iterator[None]:
    with start_worker(celery_app, perform_ping_check=False):
        yield
