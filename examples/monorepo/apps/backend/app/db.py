# SPDX-License-Identifier: GPL-3.0-or-later
"""The database engine and its sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from app.settings import DatabaseSettings, load_settings

# Creating the engine does not connect, so a forking worker may import this module.
engine = create_engine(
    load_settings(DatabaseSettings).database_url.get_secret_value(),
    pool_pre_ping=True,
    pool_size=5,
    max_overflow=5,
    pool_timeout=5,
    connect_args={"connect_timeout": 3, "application_name": "trolley"},
)
SessionFactory = sessionmaker(engine, expire_on_commit=False)


def _session() -> Iterator[Session]:
    with SessionFactory() as session:
        yield session


SessionDep = Annotated[Session, Depends(_session)]
