"""Silence is a no."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import MitigationState
from services.runbook.ports import Clock, Store, UnitOfWork


@dataclass(frozen=True)
class Expire:
    """Expires the proposals that nobody answered in time."""

    store: Store
    clock: Clock

    async def __call__(self) -> None:
        """Expire what is overdue. Looks before it takes the right to write."""
        time = self.clock.now()
        if await self.store.read(lambda unit: unit.incidents.overdue(time)):
            await self.store.transact(lambda unit: _expire(unit, time))


def _expire(unit: UnitOfWork, time: datetime) -> None:
    for incident_id in unit.incidents.overdue(time):
        incident = unit.incidents.get(incident_id)
        unit.incidents.save(_without_overdue(incident, time))


def _again(incident: Incident) -> str:
    if incident.verdict is IncidentVerdict.NATURAL_TRIGGER:
        return "an audit finds it again it is proposed again"
    return "the next window is anomalous it is proposed again"


def _without_overdue(incident: Incident, time: datetime) -> Incident:
    for mitigation in incident.mitigations:
        if mitigation.state is MitigationState.PROPOSED and mitigation.expire_time <= time:
            incident = incident.moved(
                mitigation.id,
                MitigationState.EXPIRED,
                actor=SERVICE,
                time=time,
                reason="nobody answered in time",
            ).advised(f"Nobody answered whether to {mitigation.plan}. If {_again(incident)}.")
    return incident
