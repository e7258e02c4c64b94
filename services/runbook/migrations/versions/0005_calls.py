"""Calls to people, and who feels a mitigation downstream."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add what is new; of what was proposed before, nobody asked who is downstream."""
    op.add_column("work", sa.Column("call", sa.Text))
    op.add_column("mitigation", sa.Column("downstream", sa.Text))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("mitigation", "downstream")
    op.drop_column("work", "call")
