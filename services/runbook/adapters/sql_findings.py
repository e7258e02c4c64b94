"""Which findings of audits were taken in, in SQL."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from services.runbook.adapters.sql_tables import SeenFindingRow
from services.runbook.domain.finding import AuditFinding


class SqlFindings:
    """The findings that counted already."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def until(self) -> datetime | None:
        """Return the time of the newest finding that was taken in; None if none ever was."""
        return self._session.exec(select(func.max(SeenFindingRow.time))).one()

    def seen(self, since: datetime) -> Collection[str]:
        """Return the ids of the findings of that time and later that were taken in."""
        lately = col(SeenFindingRow.time) >= since
        return set(self._session.exec(select(SeenFindingRow.id).where(lately)))

    def record(self, finding: AuditFinding) -> bool:
        """Take a finding in. False: it was before."""
        if self._session.get(SeenFindingRow, finding.id):
            return False
        self._session.add(SeenFindingRow(id=finding.id, time=finding.time))
        return True
