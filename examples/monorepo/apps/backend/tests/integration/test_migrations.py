# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import select

from app.classification import KEYWORDS, OTHER
from app.db import SessionFactory
from app.models import Aisle


def test_there_is_one_head(alembic_config: Config) -> None:
    assert len(ScriptDirectory.from_config(alembic_config).get_heads()) == 1


@pytest.mark.usefixtures("database")
def test_migrations_match_the_models_both_ways(alembic_config: Config) -> None:
    command.downgrade(alembic_config, "base")
    command.upgrade(alembic_config, "head")
    command.check(alembic_config)


@pytest.mark.usefixtures("database")
def test_every_aisle_of_the_classification_is_seeded() -> None:
    with SessionFactory() as session:
        assert set(session.scalars(select(Aisle.slug))) == {*KEYWORDS, OTHER}
