"""Incidents, their mitigations and audit, the outbox, feeds and killed features."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table."""
    _create_incidents()
    _create_audit()
    _create_outbox()
    _create_kill_switches()


def downgrade() -> None:
    """Remove every table."""
    for table in (
        "kill_key",
        "killed_feature",
        "seen_window",
        "feed",
        "work",
        "audit",
        "timeline",
        "mitigation",
        "incident_window",
        "incident",
    ):
        op.drop_table(table)


def _create_incidents() -> None:
    op.create_table(
        "incident",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model", sa.String, nullable=False, index=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("advice", sa.Text, nullable=False),
        sa.Column("comparison", sa.Text),
    )
    op.create_index(
        "incident_open_model",
        "incident",
        ["model"],
        unique=True,
        sqlite_where=sa.text("state = 'OPEN'"),
        postgresql_where=sa.text("state = 'OPEN'"),
    )
    op.create_table(
        "incident_window",
        _incident(),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("start_time", _TIME, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "mitigation",
        _incident(),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("expire_time", _TIME, nullable=False, index=True),
        sa.Column("plan_hash", sa.String, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("preview", sa.Text, nullable=False),
        sa.Column("change", sa.Text),
        sa.Column("applied_after", _TIME),
        sa.Column("verified_calibration", sa.Float),
    )


def _create_audit() -> None:
    op.create_table(
        "timeline",
        _incident(),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("before", sa.String, nullable=False),
        sa.Column("after", sa.String, nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("audit_subject", "audit", ["subject", "ordinal"], unique=True)


def _create_outbox() -> None:
    op.create_table(
        "work",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("incident", sa.String, nullable=False),
        sa.Column("mitigation", sa.String),
        sa.Column("due", _TIME, nullable=False, index=True),
        sa.Column("lease_until", _TIME),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_table(
        "feed",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("cursor", sa.String, nullable=False),
        sa.Column("newest_window_end", _TIME, nullable=False),
    )
    op.create_table("seen_window", sa.Column("name", sa.String, primary_key=True))


def _create_kill_switches() -> None:
    op.create_table(
        "killed_feature",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("feature", sa.String, primary_key=True),
        sa.Column("key", sa.String, nullable=False),
    )
    op.create_table(
        "kill_key",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
    )


def _incident() -> sa.Column[int]:
    return sa.Column(
        "incident",
        sa.Integer,
        sa.ForeignKey("incident.number"),
        primary_key=True,
        autoincrement=False,
    )
