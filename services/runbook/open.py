"""A shift event opens an incident, or adds to the one that is open."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.incident import opened
from services.runbook.domain.work import Work, WorkKind
from services.runbook.ports import Clock, Store, UnitOfWork


@dataclass(frozen=True)
class Open:
    """Takes one shift event in; the cursor moves in the same transaction, so it counts once."""

    store: Store
    clock: Clock

    async def __call__(self, event: ShiftEvent) -> None:
        """Record the event and ask for what follows from it."""
        time = self.clock.now()
        await self.store.transact(lambda unit: _take(unit, event, time))


def _take(unit: UnitOfWork, event: ShiftEvent, time: datetime) -> None:
    if not unit.feeds.record(event):
        return
    anomalous = event.window.calibration.anomalous
    latest = unit.incidents.latest(event.model)
    # A window that a closed incident went through is its evidence, however late its outcomes came.
    if latest is not None and (latest.is_open or latest.covers(event.window)):
        incident = latest.attached(event, time)
    elif anomalous:
        incident = opened(unit.incidents.next_id(), event, time)
    else:
        return
    unit.incidents.save(incident)
    if not incident.is_open:
        return
    unit.outbox.put(Work(WorkKind.VERIFY, incident.id), time)
    if anomalous and incident.under_way is None:
        unit.outbox.put(Work(WorkKind.PROPOSE, incident.id), time)
