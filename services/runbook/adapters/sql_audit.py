"""The audit in SQL."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from services.runbook.adapters.sql_tables import AuditRow
from services.runbook.domain.audit import FIRST_LINK, AuditRecord, linked
from services.runbook.domain.mitigation import Transition

_ROWS = 1000


class SqlAudit:
    """Appends to the chain, and reads it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, subject: str, ordinal: int, steps: Iterable[Transition]) -> None:
        """Record a subject's next transitions; the first has the place `ordinal` in its history.

        Two transactions that append at the same time collide on the number, and one runs again.
        """
        newest = self.newest()
        before, sequence = (newest.hash, newest.sequence) if newest else (FIRST_LINK, 0)
        for place, step in enumerate(steps):
            record = linked(before, sequence + 1 + place, subject, ordinal + place, step)
            self._session.add(_row(record))
            before = record.hash
        self._session.flush()

    def newest(self) -> AuditRecord | None:
        """Return the newest record."""
        newest = select(AuditRow).order_by(col(AuditRow.sequence).desc()).limit(1)
        row = self._session.exec(newest).one_or_none()
        return _record(row) if row else None

    def records(self) -> Iterator[AuditRecord]:
        """Yield every record in order."""
        every = select(AuditRow).order_by(col(AuditRow.sequence))
        for row in self._session.exec(every.execution_options(yield_per=_ROWS)):
            yield _record(row)

    def after(self, sequence: int, since: datetime, limit: int) -> Sequence[AuditRecord]:
        """Return the first records behind that place, in order, of what happened since then."""
        found = (
            select(AuditRow)
            .where(col(AuditRow.sequence) > sequence, col(AuditRow.time) >= since)
            .order_by(col(AuditRow.sequence))
            .limit(limit)
        )
        return [_record(row) for row in self._session.exec(found)]


def _row(record: AuditRecord) -> AuditRow:
    step = record.step
    return AuditRow(
        sequence=record.sequence,
        subject=record.subject,
        ordinal=record.ordinal,
        before=step.before,
        after=step.after,
        time=step.time,
        actor=step.actor,
        reason=step.reason,
        hash=record.hash,
    )


def _record(row: AuditRow) -> AuditRecord:
    step = Transition(row.before, row.after, row.time, row.actor, row.reason)
    return AuditRecord(row.sequence, row.subject, row.ordinal, step, row.hash)
