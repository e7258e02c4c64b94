"""Verdicts, merged incidents, quorums, escalation, leases and releases by stages."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ADDED = {
    "incident": ("new_checkpoint", "merged_into"),
    "mitigation": ("required_approvals", "escalated_to", "lease_expire_time", "stage"),
    "feed": ("checkpoint_digest", "checkpoint_since"),
    "killed_feature": ("served_percent", "step"),
}


def upgrade() -> None:
    """Add what is new; what was there before has none of it."""
    for table, names in _ADDED.items():
        columns = _columns()
        for name in names:
            op.add_column(table, columns[name])
    op.create_index("audit_after_time", "audit", ["after", "time"])
    op.create_index("work_target", "work", ["incident", "mitigation"])


def downgrade() -> None:
    """Remove it."""
    op.drop_index("work_target", "work")
    op.drop_index("audit_after_time", "audit")
    for table, names in _ADDED.items():
        for name in names:
            op.drop_column(table, name)


def _columns() -> dict[str, sa.Column[object]]:
    time = sa.DateTime(timezone=True)
    columns: tuple[sa.Column[object], ...] = (
        sa.Column("new_checkpoint", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("merged_into", sa.String, nullable=False, server_default=""),
        sa.Column("required_approvals", sa.Integer, nullable=False, server_default="1"),
        sa.Column("escalated_to", sa.Text, nullable=False, server_default="[]"),
        sa.Column("lease_expire_time", time),
        sa.Column("stage", sa.Text),
        # Empty: not known yet, so that the next checkpoint does not look new.
        sa.Column("checkpoint_digest", sa.String, nullable=False, server_default=""),
        sa.Column("checkpoint_since", time),
        sa.Column("served_percent", sa.Integer, nullable=False, server_default="0"),
        sa.Column("step", sa.Integer, nullable=False, server_default="0"),
    )
    return {column.name: column for column in columns}
