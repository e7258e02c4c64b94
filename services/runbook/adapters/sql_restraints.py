"""What guard rails look at, in SQL."""

from datetime import datetime

from sqlmodel import Session, col, select

from services.runbook.adapters.sql_audit import SqlAudit
from services.runbook.adapters.sql_incidents import SqlIncidents
from services.runbook.adapters.sql_tables import AuditRow
from services.runbook.domain.guardrail import Begun, Circumstances
from services.runbook.domain.mitigation import BEGINNING, Transition
from services.runbook.domain.pause import PAUSE_SUBJECT, Pause


class SqlRestraints:
    """Reads them off the mitigations and the audit."""

    def __init__(self, session: Session, incidents: SqlIncidents) -> None:
        self._session = session
        self._incidents = incidents

    def circumstances(self, since: datetime) -> Circumstances:
        """Return what is in force, what was begun since then, and the pause."""
        in_force = [mitigation.plan for mitigation in self._incidents.in_force()]
        before, after = BEGINNING
        steps = self._session.exec(
            select(AuditRow.subject, AuditRow.time).where(
                AuditRow.before == before, AuditRow.after == after, col(AuditRow.time) >= since
            )
        )
        begun = [Begun(self._incidents.model_of(subject), time) for subject, time in steps]
        return Circumstances(in_force, begun, self.pause())

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
