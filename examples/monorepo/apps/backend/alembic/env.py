# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the migrations against the database of the settings."""

from __future__ import annotations

from logging.config import fileConfig

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from app.models import Base
from app.settings import DatabaseSettings, load_settings

# Any number will do, as long as all replicas use the same one.
MIGRATION_LOCK = 7_368_112

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)


def database_url() -> str:
    return load_settings(DatabaseSettings).database_url.get_secret_value()


def run_offline() -> None:
    context.configure(
        url=database_url(),
        target_metadata=Base.metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    engine = create_engine(database_url(), poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            # Two deployments at once must not run the same revision twice.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK}
            )
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
