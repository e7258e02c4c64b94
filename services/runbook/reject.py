"""An expert says no."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.approval import Answer, check_answer, check_role, repeats_rejection
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.work import WorkKind
from services.runbook.ports import Clock, Store, UnitOfWork


@dataclass(frozen=True)
class Reject:
    """Rejects a proposal. The same no of the same expert, given again, changes nothing."""

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
        return await self.store.transact(lambda unit: _reject(unit, incident_id, answer, time))


def _reject(unit: UnitOfWork, incident_id: str, answer: Answer, time: datetime) -> Mitigation:
    check_role(answer.expert)
    incident = unit.incidents.get(incident_id)
    mitigation = incident.mitigation(answer.mitigation)
    if repeats_rejection(mitigation, answer):
        return mitigation
    check_answer(mitigation, answer, time)
    rejected = incident.moved(
        mitigation.id,
        MitigationState.REJECTED,
        actor=answer.expert.name,
        time=time,
        reason=answer.reason,
    ).advised(f"{answer.expert.name} rejected to {mitigation.plan}. This needs a person.")
    unit.incidents.save(rejected)
    if rejected.verdict is IncidentVerdict.NATURAL_TRIGGER:
        # No window will ask: another policy may want something else, or it is settled.
        unit.outbox.hasten(WorkKind.PROPOSE, incident.id)
    return rejected.mitigation(mitigation.id)
