"""What guard rails look at, in SQL."""

from datetime import datetime

from sqlmodel import Session, col, select

from services.runbook.adapters.sql_audit import SqlAudit
from services.runbook.adapters.sql_codec import Codec
from services.runbook.adapters.sql_incidents import number_of
from services.runbook.adapters.sql_tables import AuditRow, IncidentRow, MitigationRow
from services.runbook.domain.guardrail import Begun, Circumstances
from services.runbook.domain.mitigation import BEGINNING, IN_FORCE, Transition
from services.runbook.domain.pause import PAUSE_SUBJECT, Pause
from services.runbook.domain.plan import Plan

_PLANS = Codec[Plan](Plan)


class SqlRestraints:
    """Reads them off the mitigations and the audit, in one question each."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def circumstances(self, since: datetime) -> Circumstances:
        """Return what is in force, what was begun since then, and the pause."""
        plans = select(MitigationRow.plan).where(col(MitigationRow.state).in_(IN_FORCE))
        in_force = [_PLANS.load(plan) for plan in self._session.exec(plans)]
        return Circumstances(in_force, self._begun(since), self.pause())

    def _begun(self, since: datetime) -> list[Begun]:
        before, after = BEGINNING
        steps = self._session.exec(
            select(AuditRow.subject, AuditRow.time).where(
                AuditRow.before == before, AuditRow.after == after, col(AuditRow.time) >= since
            )
        )
        begun = [(number_of(subject.split("/")[1]), time) for subject, time in steps]
        numbers = {number for number, _ in begun}
        models = select(IncidentRow.number, IncidentRow.model)
        rows = self._session.exec(models.where(col(IncidentRow.number).in_(numbers)))
        model_of = dict(rows.all())
        return [Begun(model_of[number], time) for number, time in begun]

    def pause(self) -> Pause:
        """Return whether mitigations are stopped."""
        newest = self._newest()
        if newest is None:
            return Pause()
        step = Transition(newest.before, newest.after, newest.time, newest.actor, newest.reason)
        return Pause(step)

    def record(self, pause: Pause) -> None:
        """Write an audit record of a pause that was begun or ended."""
        if pause.last is not None:
            newest = self._newest()
            ordinal = newest.ordinal + 1 if newest else 0
            SqlAudit(self._session).append(PAUSE_SUBJECT, ordinal, [pause.last])

    def _newest(self) -> AuditRow | None:
        newest = (
            select(AuditRow)
            .where(AuditRow.subject == PAUSE_SUBJECT)
            .order_by(col(AuditRow.ordinal).desc())
            .limit(1)
        )
        return self._session.exec(newest).one_or_none()
