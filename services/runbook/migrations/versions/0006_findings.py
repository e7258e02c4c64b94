"""Findings of audits that incidents are about, and those that were taken in."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add what is new; of what was there before, nothing was found."""
    op.add_column("incident", sa.Column("findings", sa.Text))
    op.create_table(
        "seen_finding",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_seen_finding_time", "seen_finding", ["time"])


def downgrade() -> None:
    """Remove it, and what was masked: code before it would take a mask for a feature."""
    op.execute("DELETE FROM killed_feature WHERE feature LIKE 'id % of %'")
    op.drop_table("seen_finding")
    op.drop_column("incident", "findings")
