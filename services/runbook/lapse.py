"""A lease ends: somebody is asked, and then its features are served again by stages."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.runbook.domain.lease import LeaseTerms, lapsed
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.ports import Clock, PolicySource, Store, UnitOfWork

_PAUSE = timedelta(minutes=1)
"""Between two looks at a lease that lapsed while everything is paused."""


@dataclass(frozen=True)
class Lapse:
    """Sees to the leases of an incident's mitigations."""

    store: Store
    policies: PolicySource
    clock: Clock

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out."""
        terms, time = self.policies.current().lease, self.clock.now()
        await self.store.transact(lambda unit: _lapse(unit, claim, terms, time))


def _lapse(unit: UnitOfWork, claim: Claim, terms: LeaseTerms, time: datetime) -> None:
    if unit.restraints.pause().is_on:
        unit.outbox.postpone(claim, time + _PAUSE)
        return
    unit.outbox.finish(claim)
    before = unit.incidents.get(claim.work.incident)
    after = lapsed(before, terms, time)
    if after is before:
        return
    unit.incidents.save(after)
    effects = {
        MitigationState.RELEASING: WorkKind.EXPOSE,
        MitigationState.REVERTING: WorkKind.REVERT,
    }
    for old, new in zip(before.mitigations, after.mitigations, strict=True):
        if old.state is not new.state and new.state in effects:
            unit.outbox.put(Work(effects[new.state], after.id, new.id))
