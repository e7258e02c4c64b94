"""A shift event opens an incident, adds to one, or opens one again."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.incident import Incident, opened
from services.runbook.domain.mitigation import WATCHED
from services.runbook.domain.recurrence import broke_under_new_checkpoint, merged, recurs
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
    recent = unit.incidents.recent(event.model)
    standing = next((i for i in recent if i.is_open or i.covers(event.window)), None)
    watched = unit.incidents.watched(event.model)
    watching = [i for i in watched if standing is None or i.id != standing.id]
    if standing is not None and _says_something(standing, event):
        _attach(unit, standing, event, time)
        _merge(unit, event.model, time)
    for place, incident in enumerate(watching):
        # A model has one open incident at a time.
        _attach(unit, incident, event, time, again=standing is None and place == 0)
    if standing is None and not watching and event.window.calibration.anomalous:
        _open(unit, recent[0] if recent else None, event, time)


def _says_something(incident: Incident, event: ShiftEvent) -> bool:
    """Whether a window is evidence. Those of a healthy model are none of what audits found, unless
    one of them is to tell whether a mitigation did harm."""
    quiet = incident.verdict is IncidentVerdict.NATURAL_TRIGGER
    watched = any(mitigation.state in WATCHED for mitigation in incident.mitigations)
    return event.window.calibration.anomalous or watched or not quiet


def _attach(
    unit: UnitOfWork, incident: Incident, event: ShiftEvent, time: datetime, *, again: bool = False
) -> None:
    """Add the window; `again`: an anomalous one opens a closed incident again."""
    calibration = event.window.calibration
    if again and calibration.anomalous and not incident.is_open:
        reason = f"calibration {calibration} in window {event.window.id}"
        incident = incident.reopened(time=time, reason=reason)
    _record(unit, incident.attached(event, time), event)


def _open(unit: UnitOfWork, newest: Incident | None, event: ShiftEvent, time: datetime) -> None:
    """Open the newest incident again if this is the same trouble, a new one if it is not."""
    if newest is not None and recurs(newest, event.comparison, event.window):
        _attach(unit, newest, event, time, again=True)
        return
    since = unit.feeds.checkpoint_since(event.model)
    new_checkpoint = broke_under_new_checkpoint(event.window, since)
    incident_id = unit.incidents.next_id()
    _record(unit, opened(incident_id, event, time, new_checkpoint=new_checkpoint), event)


def _merge(unit: UnitOfWork, model: str, time: datetime) -> None:
    """Merge the open incident into the one before it, if it turned out to be the same."""
    recent = unit.incidents.recent(model)
    pair = merged(recent[0], recent[1], time) if len(recent) > 1 else None
    if pair is not None:
        for incident in pair:
            unit.incidents.save(incident)
        _ask(unit, pair[1], anomalous=True)


def _record(unit: UnitOfWork, incident: Incident, event: ShiftEvent) -> None:
    unit.incidents.save(incident)
    _ask(unit, incident, anomalous=event.window.calibration.anomalous)


def _ask(unit: UnitOfWork, incident: Incident, *, anomalous: bool) -> None:
    """Ask for what follows from a window."""
    watched = any(mitigation.state in WATCHED for mitigation in incident.mitigations)
    if incident.is_open or watched:
        unit.outbox.put(Work(WorkKind.VERIFY, incident.id))
    if incident.is_open and anomalous and incident.under_way is None and not watched:
        unit.outbox.hasten(WorkKind.PROPOSE, incident.id)
