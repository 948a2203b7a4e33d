# SPDX-License-Identifier: GPL-3.0-or-later
"""Aisles and items.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aisle",
        sa.Column("id", sa.SmallInteger, sa.Identity(), nullable=False),
        sa.Column("slug", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_aisle"),
        sa.UniqueConstraint("slug", name="uq_aisle_slug"),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("quantity", sa.SmallInteger, nullable=False),
        sa.Column("ticked", sa.Boolean, nullable=False),
        sa.Column("added_by", sa.String(40), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("aisle_id", sa.SmallInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_item"),
        sa.ForeignKeyConstraint(["aisle_id"], ["aisle.id"], name="fk_item_aisle_id"),
        sa.CheckConstraint("quantity BETWEEN 1 AND 999", name=op.f("ck_item_quantity_range")),
    )
    op.create_index("ix_item_aisle_id", "item", ["aisle_id"])


def downgrade() -> None:
    op.drop_table("item")
    op.drop_table("aisle")
