# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, read from the environment or from secret files.

Every process loads only what it uses: the migration needs the database, the
worker the database and Redis, the API all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

SECRETS_DIR = Path("/run/secrets")


class SettingsError(RuntimeError):
    """A setting is missing or unusable."""


def _psycopg_url(value: SecretStr) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
    except ArgumentError:
        raise ValueError("is not a database URL") from None
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername != "postgresql+psycopg":
        raise ValueError("must be a postgresql:// URL")
    return SecretStr(url.render_as_string(hide_password=False))


def _redis_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("redis://", "rediss://")):
        raise ValueError("must be a redis:// or rediss:// URL")
    return value


class _Settings(BaseSettings):
    # Values are secrets: an error message must never show them.
    model_config = SettingsConfigDict(hide_input_in_errors=True, extra="ignore")


class DatabaseSettings(_Settings):
    database_url: Annotated[SecretStr, AfterValidator(_psycopg_url)]


class RedisSettings(_Settings):
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)]


class WebSettings(_Settings):
    secret_key: Annotated[SecretStr, Field(min_length=16)]
    root_path: str = "/api"
    app_version: str = "development"
    hostname: str = "localhost"


SettingsT = TypeVar("SettingsT", bound=_Settings)


def load_settings(kind: type[SettingsT], secrets_dir: Path = SECRETS_DIR) -> SettingsT:
    """Read the settings of one kind; say which are wrong and where they belong."""
    source = secrets_dir if secrets_dir.is_dir() else None
    try:
        return kind(_secrets_dir=source)
    except ValidationError as error:
        problems = "; ".join(
            _describe(str(problem["loc"][0]), problem["type"], problem["msg"], secrets_dir)
            for problem in error.errors(include_input=False, include_url=False)
        )
    # Raised outside the handler so that the pydantic error is not printed as well.
    raise SettingsError(problems)


def _describe(name: str, problem: str, message: str, secrets_dir: Path) -> str:
    if problem == "missing":
        return (
            f"setting {name} is missing: "
            f"provide the file {secrets_dir / name} or the environment variable {name.upper()}"
        )
    return f"setting {name}: {message}"
