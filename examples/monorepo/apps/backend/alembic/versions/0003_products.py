# SPDX-License-Identifier: GPL-3.0-or-later
"""Products: names used before, with trigrams for suggestions.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Does nothing where init-db.sql has created it; there the role needs no such right.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "product",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_product"),
    )
    op.create_index("uq_product_name_lower", "product", [sa.text("lower(name)")], unique=True)
    op.create_index(
        "ix_product_name_trgm",
        "product",
        ["name"],
        postgresql_using="gin",
        postgresql_ops={"name": "gin_trgm_ops"},
    )


def downgrade() -> None:
    # The extension stays: it may be older than this revision.
    op.drop_table("product")
