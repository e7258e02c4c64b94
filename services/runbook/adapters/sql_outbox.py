"""The outbox in SQL."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import bindparam, exists, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from services.runbook.adapters.sql_codec import Codec
from services.runbook.adapters.sql_tables import UtcDateTime, WorkRow
from services.runbook.domain.errors import LeaseLost
from services.runbook.domain.work import AT_ONCE, Call, Claim, Work, WorkKind

T = TypeVar("T")
_CALL = Codec[Call](Call)


class SqlOutbox:
    """Wanted effects, in the same transaction as what wants them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.asked: set[WorkKind] = set()
        """Kinds of work that this transaction wants done at once."""

    def put(self, work: Work, due: datetime = AT_ONCE) -> None:
        """Ask for an effect, at some time or at once."""
        if due == AT_ONCE:
            self.asked.add(work.kind)
        self._session.add(
            WorkRow(
                kind=work.kind,
                incident=work.incident,
                mitigation=work.mitigation,
                call=_CALL.dump(work.call) if work.call else None,
                due=due,
            )
        )

    def hasten(self, kind: WorkKind, incident: str) -> None:
        """Ask for an incident's effect at once, which may wait already."""
        waiting = self._session.exec(
            select(WorkRow)
            .where(
                col(WorkRow.kind) == kind,
                col(WorkRow.incident) == incident,
                col(WorkRow.mitigation).is_(None),
                col(WorkRow.lease_until).is_(None),
            )
            .limit(1)
            # A worker that claims it meanwhile may have looked already.
            .with_for_update()
        ).one_or_none()
        if waiting is None:
            self.put(Work(kind, incident))
            return
        waiting.due = AT_ONCE
        self._session.add(waiting)
        self.asked.add(kind)

    def due(self, kinds: Sequence[WorkKind], time: datetime) -> bool:
        """Whether there is work of these kinds to claim."""
        found = self._session.exec(_looking(kinds), params={"time": time})
        return found.first() is not None

    def claim(self, kinds: Sequence[WorkKind], time: datetime, until: datetime) -> Claim | None:
        """Take the oldest due work of these kinds that nobody holds, until the lease ends."""
        row = self._session.exec(_taking(kinds), params={"time": time}).one_or_none()
        if row is None or row.id is None:
            return None
        row.attempts += 1
        row.lease_until = until
        self._session.add(row)
        call = _CALL.load(row.call) if row.call else None
        work = Work(WorkKind(row.kind), row.incident, row.mitigation, call)
        return Claim(row.id, work, row.attempts)

    def finish(self, claim: Claim) -> None:
        """Remove finished work. Raises LeaseLost if it has been taken over."""
        self._session.delete(self._held(claim))

    def postpone(self, claim: Claim, due: datetime) -> None:
        """Give work back for a later attempt. Raises LeaseLost if it has been taken over."""
        row = self._held(claim)
        row.due, row.lease_until = due, None
        self._session.add(row)

    def _held(self, claim: Claim) -> WorkRow:
        row = self._session.get(WorkRow, claim.id)
        if row is None or row.attempts != claim.attempt:
            raise LeaseLost(f"another worker has taken over {claim.work.kind} of the outbox")
        return row


# To put a query together takes longer than to run it.
@lru_cache
def _looking(kinds: Sequence[WorkKind]) -> SelectOfScalar[Any]:
    return _claimable(select(WorkRow.id), kinds)


@lru_cache
def _taking(kinds: Sequence[WorkKind]) -> SelectOfScalar[WorkRow]:
    return _claimable(select(WorkRow), kinds).with_for_update(skip_locked=True)


def _claimable(query: SelectOfScalar[T], kinds: Sequence[WorkKind]) -> SelectOfScalar[T]:
    """Return the query of the oldest work of these kinds that is due at `time` and that nobody
    holds."""
    time = bindparam("time", type_=UtcDateTime())
    earlier = aliased(WorkRow)
    waits_for_another = exists().where(
        col(earlier.incident) == col(WorkRow.incident),
        col(earlier.mitigation) == col(WorkRow.mitigation),
        col(earlier.id) < col(WorkRow.id),
    )
    free = or_(col(WorkRow.lease_until).is_(None), col(WorkRow.lease_until) <= time)
    return (
        query.where(
            col(WorkRow.kind).in_(kinds), col(WorkRow.due) <= time, free, ~waits_for_another
        )
        .order_by(col(WorkRow.id))
        .limit(1)
    )
