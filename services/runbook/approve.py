"""An expert says yes. This records it; a worker acts."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.approval import Answer, check_answer, check_role, repeats_approval
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.work import Work, WorkKind
from services.runbook.ports import Clock, Store, UnitOfWork


@dataclass(frozen=True)
class Approve:
    """Approves a proposal. The same yes of the same expert, given again, changes nothing."""

    store: Store
    clock: Clock

    async def __call__(self, incident_id: str, answer: Answer) -> Mitigation:
        """Return the mitigation as it is after the answer.

        Raises:
            IncidentNotFound, MitigationNotFound: no such proposal.
            NotAnApprover: the expert may not decide on it.
            StalePlan: the expert saw another plan.
            DecisionRefused: it is decided already, or expired.
        """
        time = self.clock.now()
        return await self.store.transact(lambda unit: _approve(unit, incident_id, answer, time))


def _approve(unit: UnitOfWork, incident_id: str, answer: Answer, time: datetime) -> Mitigation:
    check_role(answer.expert)
    incident = unit.incidents.get(incident_id)
    mitigation = incident.mitigation(answer.mitigation)
    if repeats_approval(mitigation, answer):
        return mitigation
    check_answer(mitigation, answer, time)
    approved = incident.moved(
        mitigation.id,
        MitigationState.APPROVED,
        actor=answer.expert.name,
        time=time,
        reason=answer.reason,
    ).advised(f"Approved by {answer.expert.name}: about to {mitigation.plan}.")
    unit.incidents.save(approved)
    unit.outbox.put(Work(WorkKind.APPLY, incident.id, mitigation.id), time)
    return approved.mitigation(mitigation.id)
