"""A proposal that waits calls the next person."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.escalation import EscalationStep, escalated
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.ports import Clock, PolicySource, Store, UnitOfWork


@dataclass(frozen=True)
class Escalate:
    """Calls whoever is due about an incident's unanswered proposal."""

    store: Store
    policies: PolicySource
    clock: Clock

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out."""
        steps, time = self.policies.current().escalation, self.clock.now()
        await self.store.transact(lambda unit: _escalate(unit, claim, steps, time))


def _escalate(
    unit: UnitOfWork, claim: Claim, steps: tuple[EscalationStep, ...], time: datetime
) -> None:
    unit.outbox.finish(claim)
    incident = unit.incidents.get(claim.work.incident)
    quiet = incident.snooze_expire_time
    if quiet is not None and time < quiet:
        unit.outbox.put(claim.work, quiet)
        return
    after, calls = escalated(incident, steps, time)
    if calls:
        unit.incidents.save(after)
    for call in calls:
        unit.outbox.put(Work(WorkKind.PAGE, incident.id, call=call))
