# SPDX-License-Identifier: GPL-3.0-or-later
"""Seed the aisles of the shop (data only).

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AISLES = (
    ("produce", "Fruit & veg"),
    ("bakery", "Bakery"),
    ("dairy", "Dairy & eggs"),
    ("meat-fish", "Meat & fish"),
    ("pantry", "Pantry"),
    ("frozen", "Frozen"),
    ("drinks", "Drinks"),
    ("household", "Household"),
    ("other", "Everything else"),
)

# The table as it was at this revision, whatever the models become later.
aisle = sa.table(
    "aisle",
    sa.column("slug", sa.String),
    sa.column("name", sa.String),
    sa.column("position", sa.SmallInteger),
)
item = sa.table("item", sa.column("aisle_id", sa.SmallInteger))


def upgrade() -> None:
    op.bulk_insert(
        aisle,
        [
            {"slug": slug, "name": name, "position": position}
            for position, (slug, name) in enumerate(AISLES, start=1)
        ],
    )


def downgrade() -> None:
    op.execute(item.update().values(aisle_id=None))
    op.execute(aisle.delete())
