# SPDX-License-Identifier: GPL-3.0-or-later
from pathlib import Path

import pytest

from app.settings import (
    DatabaseSettings,
    RedisSettings,
    SettingsError,
    WebSettings,
    load_settings,
)

PASSWORD = "p%40ss%2Fword"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_database_url_comes_from_a_secret_file(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "database_url").write_text(f"{scheme}://user:{PASSWORD}@db:5432/shop\n")
    settings = load_settings(DatabaseSettings, tmp_path)
    assert (
        settings.database_url.get_secret_value()
        == f"postgresql+psycopg://user:{PASSWORD}@db:5432/shop"
    )


def test_environment_is_used_without_secret_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/0")
    settings = load_settings(RedisSettings, tmp_path / "missing")
    assert settings.redis_url.get_secret_value() == "redis://cache:6379/0"


def test_a_missing_setting_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(DatabaseSettings, tmp_path)
    assert str(tmp_path / "database_url") in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)


@pytest.mark.parametrize(
    "url", [f"mysql://user:{PASSWORD}@db/shop", f"user:{PASSWORD}@db", f"http://{PASSWORD}"]
)
def test_an_unusable_url_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    (tmp_path / "database_url").write_text(url)
    with pytest.raises(SettingsError) as caught:
        load_settings(DatabaseSettings, tmp_path)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_short_secret_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short")
    with pytest.raises(SettingsError, match="secret_key"):
        load_settings(WebSettings, tmp_path)
