"""What audits told that was taken in, in SQL."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from services.runbook.adapters.sql_tables import SeenFindingRow
from services.runbook.domain.finding import AuditEnd, AuditFinding


class SqlFindings:
    """What counted already."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def until(self) -> datetime | None:
        """Return the time of the newest of it that was taken in; None if none ever was."""
        return self._session.exec(select(func.max(SeenFindingRow.time))).one()

    def seen(self, since: datetime) -> Collection[str]:
        """Return the ids of what was taken in of that time and later."""
        lately = col(SeenFindingRow.time) >= since
        return set(self._session.exec(select(SeenFindingRow.id).where(lately)))

    def record(self, told: AuditFinding | AuditEnd) -> bool:
        """Take it in. False: it was before."""
        if self._session.get(SeenFindingRow, told.id):
            return False
        self._session.add(SeenFindingRow(id=told.id, time=told.time))
        return True
