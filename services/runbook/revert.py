"""An expert wants a mitigation undone. This records it; a worker acts."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.approval import Recall, check_role, repeats_recall
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.work import Work, WorkKind
from services.runbook.ports import Clock, Store, UnitOfWork


@dataclass(frozen=True)
class Revert:
    """Undoes a mitigation that is in force, or withdraws one that is about to be."""

    store: Store
    clock: Clock

    async def __call__(self, incident_id: str, recall: Recall) -> Mitigation:
        """Return the mitigation, REVERTING. The same wish of the same expert changes nothing.

        Raises:
            IncidentNotFound, MitigationNotFound: no such mitigation.
            NotAnApprover: the expert may not decide on it.
            InvalidTransition: it is not in force.
        """
        time = self.clock.now()
        return await self.store.transact(lambda unit: _revert(unit, incident_id, recall, time))


def _revert(unit: UnitOfWork, incident_id: str, recall: Recall, time: datetime) -> Mitigation:
    check_role(recall.expert)
    incident = unit.incidents.get(incident_id)
    mitigation = incident.mitigation(recall.mitigation)
    if repeats_recall(mitigation, recall):
        return mitigation
    # What was approved and not begun has nothing to undo.
    begun = mitigation.state is not MitigationState.APPROVED
    to = MitigationState.REVERTING if begun else MitigationState.REVERTED
    name = recall.expert.name
    reverted = incident.moved(mitigation.id, to, actor=name, time=time, reason=recall.reason)
    if incident.is_open:
        reverted = reverted.advised(f"{name} takes it back: {mitigation.plan}.")
    unit.incidents.save(reverted)
    if begun:
        unit.outbox.put(Work(WorkKind.REVERT, incident_id, mitigation.id))
    return reverted.mitigation(mitigation.id)
