"""Somebody asks for quiet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.runbook.domain.approval import Expert, check_role
from services.runbook.domain.errors import InvalidTransition
from services.runbook.domain.incident import Incident
from services.runbook.ports import Clock, Store, UnitOfWork

_SAME = timedelta(minutes=1)


@dataclass(frozen=True)
class Snooze:
    """Calls nobody about an incident for a while. Proposals expire as ever.

    One that ends less than a minute later than the one there is changes nothing: a click that
    arrives twice counts once.
    """

    store: Store
    clock: Clock

    async def __call__(
        self, incident_id: str, expert: Expert, duration: timedelta, reason: str
    ) -> Incident:
        """Return the incident, snoozed.

        Raises:
            IncidentNotFound: no such incident.
            NotAnApprover: the caller may not silence it.
            InvalidTransition: it is closed.
        """
        check_role(expert)
        time = self.clock.now()
        until = time + duration
        why = f": {reason}" if reason else ""

        def snoozed(incident: Incident) -> Incident:
            message = f"snoozed until {until:%Y-%m-%d %H:%M} UTC{why}"
            quiet = replace(incident, snooze_expire_time=until)
            return quiet.noted(time, expert.name, message)

        return await self.store.transact(lambda unit: _snooze(unit, incident_id, until, snoozed))


def _snooze(
    unit: UnitOfWork, incident_id: str, until: datetime, snoozed: Callable[[Incident], Incident]
) -> Incident:
    incident = unit.incidents.get(incident_id)
    if not incident.is_open:
        raise InvalidTransition(incident.name, incident.state, "snoozed", ())
    known = incident.snooze_expire_time
    if known is not None and abs(until - known) < _SAME:
        return incident
    after = snoozed(incident)
    unit.incidents.save(after)
    return after
