"""An expert wants a kill to last, or a release to be taken back."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.approval import Wish, check_wish, repeats_wish
from services.runbook.domain.errors import InvalidTransition
from services.runbook.domain.incident import Incident
from services.runbook.domain.lease import LeaseTerms, killed_again, lapses, leased
from services.runbook.domain.mitigation import LEASED, Mitigation, MitigationState
from services.runbook.domain.work import Work, WorkKind
from services.runbook.ports import Clock, PolicySource, Store, UnitOfWork


@dataclass(frozen=True)
class Renew:
    """Begins a kill's lease anew; what is being released is put in force again."""

    store: Store
    policies: PolicySource
    clock: Clock

    async def __call__(self, incident_id: str, wish: Wish) -> Mitigation:
        """Return the mitigation with its new lease, or APPLYING if it was being released.

        The same wish about the same etag changes nothing the second time.

        Raises:
            IncidentNotFound, MitigationNotFound: no such mitigation.
            NotAnApprover: the expert may not decide on it.
            StalePlan: it has changed since the expert looked.
            InvalidTransition: it has no lease.
        """
        terms, time = self.policies.current().lease, self.clock.now()
        return await self.store.transact(lambda unit: _renew(unit, incident_id, wish, terms, time))


def _renew(
    unit: UnitOfWork, incident_id: str, wish: Wish, terms: LeaseTerms, time: datetime
) -> Mitigation:
    incident = unit.incidents.get(incident_id)
    mitigation = incident.mitigation(wish.mitigation)
    if repeats_wish(mitigation, wish):
        return mitigation
    check_wish(mitigation, wish)
    name = wish.expert.name
    if mitigation.state is MitigationState.RELEASING:
        renewed = killed_again(incident, mitigation, actor=name, time=time, why=wish.reason)
        unit.outbox.put(Work(WorkKind.APPLY, incident.id, mitigation.id))
    elif mitigation.state in LEASED and mitigation.lease_expire_time is not None:
        renewed = _extended(incident, mitigation, wish, terms, time)
        for due in lapses(renewed.mitigation(mitigation.id), terms):
            unit.outbox.put(Work(WorkKind.LAPSE, incident.id), due)
    else:
        ways = (*LEASED, MitigationState.RELEASING)
        raise InvalidTransition(mitigation.name, mitigation.state, "renewed", ways)
    unit.incidents.save(renewed)
    return renewed.mitigation(mitigation.id)


def _extended(
    incident: Incident, mitigation: Mitigation, wish: Wish, terms: LeaseTerms, time: datetime
) -> Incident:
    extended = leased(mitigation, terms, time)
    return incident.with_mitigation(extended).moved(
        mitigation.id,
        mitigation.state,
        actor=wish.expert.name,
        time=time,
        reason=wish.reason,
        told=f"renewed until {extended.lease_expire_time:%Y-%m-%d %H:%M} UTC",
    )
