"""An expert wants a kill's features, or a mask's ids, served again."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.approval import Wish, check_wish, repeats_wish
from services.runbook.domain.errors import DecisionRefused, MitigationsPaused
from services.runbook.domain.lease import LeaseTerms, released
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.work import Work, WorkKind
from services.runbook.ports import Clock, PolicySource, Store, UnitOfWork


@dataclass(frozen=True)
class Release:
    """Ends the lease of a kill or a mask before its time."""

    store: Store
    policies: PolicySource
    clock: Clock

    async def __call__(self, incident_id: str, wish: Wish) -> Mitigation:
        """Return the mitigation, RELEASING. One that is being released stays as it is.

        Raises:
            IncidentNotFound, MitigationNotFound: no such mitigation.
            NotAnApprover: the expert may not decide on it.
            StalePlan: it has changed since the expert looked.
            MitigationsPaused: nothing goes on just now.
            DecisionRefused: it acts elsewhere than on serving, and has no stages.
            InvalidTransition: it is not effective.
        """
        terms, time = self.policies.current().lease, self.clock.now()
        return await self.store.transact(
            lambda unit: _release(unit, incident_id, wish, terms, time)
        )


def _release(
    unit: UnitOfWork, incident_id: str, wish: Wish, terms: LeaseTerms, time: datetime
) -> Mitigation:
    incident = unit.incidents.get(incident_id)
    mitigation = incident.mitigation(wish.mitigation)
    if repeats_wish(mitigation, wish):
        return mitigation
    check_wish(mitigation, wish)
    if mitigation.state is MitigationState.RELEASING:
        return mitigation
    if not mitigation.plan.kind.is_on_serving:
        raise DecisionRefused(
            f"a {mitigation.plan.kind.noun} does not end by stages: revert {mitigation.name}"
        )
    if (pause := unit.restraints.pause()).is_on:
        raise MitigationsPaused(f"{pause}; revert it at once, or wait until they resume")
    after = released(
        incident,
        mitigation,
        terms.stages_of(mitigation.plan)[0],
        actor=wish.expert.name,
        time=time,
        why=wish.reason,
    )
    unit.incidents.save(after)
    unit.outbox.put(Work(WorkKind.EXPOSE, incident.id, mitigation.id))
    return after.mitigation(mitigation.id)
