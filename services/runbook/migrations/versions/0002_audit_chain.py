"""The audit as a chain of hashes. What is there already becomes the chain's beginning."""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from services.runbook.domain.audit import FIRST_LINK, link
from services.runbook.domain.mitigation import Transition

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_AUDIT = sa.table(
    "audit",
    *(sa.column(name) for name in ("sequence", "subject", "ordinal", "before", "after")),
    sa.column("time", sa.DateTime(timezone=True)),
    *(sa.column(name) for name in ("actor", "reason", "hash")),
)


def upgrade() -> None:
    """Add each record's hash."""
    op.add_column("audit", sa.Column("hash", sa.String))
    _link()
    with op.batch_alter_table("audit") as audit:
        audit.alter_column("hash", existing_type=sa.String, nullable=False)


def downgrade() -> None:
    """Remove the hashes."""
    with op.batch_alter_table("audit") as audit:
        audit.drop_column("hash")


def _link() -> None:
    connection, before = op.get_bind(), FIRST_LINK
    for row in connection.execute(sa.select(_AUDIT).order_by(_AUDIT.c.sequence)).all():
        step = Transition(row.before, row.after, _utc(row.time), row.actor, row.reason)
        before = link(before, row.sequence, row.subject, row.ordinal, step)
        same = _AUDIT.c.sequence == row.sequence
        connection.execute(sa.update(_AUDIT).where(same).values(hash=before))


def _utc(time: datetime) -> datetime:
    # SQLite keeps no zone.
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
