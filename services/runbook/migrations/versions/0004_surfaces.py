"""Where incidents are shown in chat, and until when they are snoozed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add what is new; no incident is shown or snoozed so far."""
    time = sa.DateTime(timezone=True)
    op.add_column("incident", sa.Column("snooze_expire_time", time))
    op.create_table(
        "surface",
        sa.Column("incident", sa.Integer, sa.ForeignKey("incident.number"), primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("shown", sa.String, nullable=False),
        sa.Column("told_count", sa.Integer, nullable=False),
        sa.Column("attachments", sa.Text, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("lease_expire_time", time),
        sa.Column("interrupted", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("surface")
    op.drop_column("incident", "snooze_expire_time")
