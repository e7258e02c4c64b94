"""The runbook's store in memory: for trying things out, and for tests."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.memory_tables import ScoringCheckpoint, Tables, Wanted
from services.runbook.domain.audit import FIRST_LINK, AuditRecord, linked
from services.runbook.domain.errors import IncidentNotFound, InvalidPageToken, LeaseLost
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.finding import AuditEnd, AuditFinding
from services.runbook.domain.guardrail import Begun, Circumstances
from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import (
    BEGINNING,
    IN_FORCE,
    WATCHED,
    MitigationState,
    Transition,
)
from services.runbook.domain.pause import PAUSE_SUBJECT, Pause
from services.runbook.domain.surface import Surface
from services.runbook.domain.work import AT_ONCE, Claim, Work, WorkKind
from services.runbook.ports import UnitOfWork

T = TypeVar("T")


class _Incidents:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, incident_id: str) -> Incident:
        try:
            return self._tables.incidents[incident_id]
        except KeyError:
            raise IncidentNotFound(f"there is no incident {incident_id}", field="name") from None

    def recent(self, model: str) -> Sequence[Incident]:
        every = reversed(self._tables.incidents.values())
        of_model = [i for i in every if i.model == model and not i.merged_into]
        # Sorting keeps the order of equals.
        return sorted(of_model, key=lambda incident: not incident.is_open)[:2]

    def next_id(self) -> str:
        return f"INC-{len(self._tables.incidents) + 1}"

    def save(self, incident: Incident) -> None:
        tables, known = self._tables, self._tables.incidents.get(incident.id)
        written = {m.name: len(m.history) for m in known.mitigations} if known else {}
        self._record(incident.name, incident.history, len(known.history) if known else 0)
        for mitigation in incident.mitigations:
            self._record(mitigation.name, mitigation.history, written.get(mitigation.name, 0))
        tables.incidents[incident.id] = incident
        tables.versions[incident.id] = tables.versions.get(incident.id, 0) + 1

    def _record(self, subject: str, history: Sequence[Transition], written: int) -> None:
        for ordinal, step in enumerate(history[written:], start=written):
            _append(self._tables.audit, subject, ordinal, step)

    def watched(self, model: str) -> Sequence[Incident]:
        of_model = (i for i in self._tables.incidents.values() if i.model == model)
        return [i for i in of_model if any(m.state in WATCHED for m in i.mitigations)]

    def overdue(self, time: datetime) -> Sequence[str]:
        return [
            incident.id
            for incident in self._tables.incidents.values()
            if any(
                m.state is MitigationState.PROPOSED and m.expire_time <= time
                for m in incident.mitigations
            )
        ]


class _Catalogue:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def page(self, model: str | None, size: int, token: str) -> tuple[Sequence[Incident], str]:
        newest_first = [
            incident
            for incident in reversed(self._tables.incidents.values())
            if model in {None, incident.model}
        ]
        ends = {str(index): index for index in range(1, len(newest_first))}
        if token and token not in ends:
            raise InvalidPageToken("no page ended with this page token", field="page_token")
        start = ends.get(token, 0)
        end = start + size
        return newest_first[start:end], str(end) if end < len(newest_first) else ""

    def open_ids(self) -> Sequence[str]:
        return [i.id for i in self._tables.incidents.values() if i.is_open]

    def versions(self, model: str | None) -> Mapping[str, int]:
        return {
            incident_id: version
            for incident_id, version in self._tables.versions.items()
            if model in {None, self._tables.incidents[incident_id].model}
        }


class _Outbox:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put(self, work: Work, due: datetime = AT_ONCE) -> None:
        self._tables.put += 1
        self._tables.outbox[self._tables.put] = Wanted(work, due)

    def hasten(self, kind: WorkKind, incident: str) -> None:
        work = Work(kind, incident)
        for number, wanted in self._tables.outbox.items():
            if wanted.work == work and wanted.lease_until is None:
                self._tables.outbox[number] = replace(wanted, due=AT_ONCE)
                return
        self.put(work)

    def due(self, kinds: Sequence[WorkKind], time: datetime) -> bool:
        return self._oldest(kinds, time) is not None

    def claim(self, kinds: Sequence[WorkKind], time: datetime, until: datetime) -> Claim | None:
        number = self._oldest(kinds, time)
        if number is None:
            return None
        wanted = self._tables.outbox[number]
        claimed = replace(wanted, lease_until=until, attempts=wanted.attempts + 1)
        self._tables.outbox[number] = claimed
        return Claim(number, claimed.work, claimed.attempts)

    def _oldest(self, kinds: Sequence[WorkKind], time: datetime) -> int | None:
        earlier = set()
        for number, wanted in self._tables.outbox.items():
            work = wanted.work
            target = (work.incident, work.mitigation) if work.mitigation else number
            free = wanted.lease_until is None or wanted.lease_until <= time
            if work.kind in kinds and wanted.due <= time and free and target not in earlier:
                return number
            earlier.add(target)
        return None

    def finish(self, claim: Claim) -> None:
        self._check(claim)
        del self._tables.outbox[claim.id]

    def postpone(self, claim: Claim, due: datetime) -> None:
        wanted = self._check(claim)
        self._tables.outbox[claim.id] = replace(wanted, due=due, lease_until=None)

    def _check(self, claim: Claim) -> Wanted:
        wanted = self._tables.outbox.get(claim.id)
        if wanted is None or wanted.attempts != claim.attempt:
            raise LeaseLost(f"another worker has taken over {claim.work.kind} of the outbox")
        return wanted


class _Feeds:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(self, event: ShiftEvent) -> bool:
        tables, end = self._tables, event.window.end_time
        tables.cursors[event.model] = event.cursor
        known = tables.checkpoints.get(event.model)
        digest = event.window.checkpoint_digest
        if known is None or (end > tables.window_ends[event.model] and digest != known.digest):
            since = event.window.start_time if known else None
            tables.checkpoints[event.model] = ScoringCheckpoint(digest, since)
        tables.window_ends[event.model] = max(tables.window_ends.get(event.model, end), end)
        if event.window.name in tables.seen:
            return False
        tables.seen.add(event.window.name)
        return True

    def cursors(self) -> Mapping[str, str]:
        return dict(self._tables.cursors)

    def newest_window_end(self, model: str) -> datetime | None:
        return self._tables.window_ends.get(model)

    def checkpoint_since(self, model: str) -> datetime | None:
        known = self._tables.checkpoints.get(model)
        return known.since if known else None


class _Findings:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def until(self) -> datetime | None:
        return max(self._tables.findings.values(), default=None)

    def seen(self, since: datetime) -> Collection[str]:
        return {each for each, time in self._tables.findings.items() if time >= since}

    def record(self, told: AuditFinding | AuditEnd) -> bool:
        is_new = told.id not in self._tables.findings
        self._tables.findings.setdefault(told.id, told.time)
        return is_new


class _Restraints:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def circumstances(self, since: datetime) -> Circumstances:
        every = [m for i in self._tables.incidents.values() for m in i.mitigations]
        begun = [
            Begun(mitigation.plan.model, step.time)
            for mitigation in every
            for step in mitigation.history
            if (step.before, step.after) == BEGINNING and step.time >= since
        ]
        in_force = [mitigation.plan for mitigation in every if mitigation.state in IN_FORCE]
        return Circumstances(in_force, begun, self.pause())

    def pause(self) -> Pause:
        told = [record.step for record in self._tables.audit if record.subject == PAUSE_SUBJECT]
        return Pause(told[-1] if told else None)

    def record(self, pause: Pause) -> None:
        if pause.last is not None:
            ordinal = sum(record.subject == PAUSE_SUBJECT for record in self._tables.audit)
            _append(self._tables.audit, PAUSE_SUBJECT, ordinal, pause.last)


class _Surfaces:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, incident_id: str, surface_id: str) -> Surface:
        known = self._tables.surfaces.get((incident_id, surface_id))
        return known or Surface(incident=incident_id, id=surface_id)

    def save(self, surface: Surface) -> None:
        self._tables.surfaces[surface.incident, surface.id] = surface


class _Audit:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def newest(self) -> AuditRecord | None:
        return self._tables.audit[-1] if self._tables.audit else None

    def records(self) -> Sequence[AuditRecord]:
        return tuple(self._tables.audit)

    def after(self, sequence: int, since: datetime, limit: int) -> Sequence[AuditRecord]:
        found = (r for r in self._tables.audit if r.sequence > sequence and r.step.time >= since)
        return [*found][:limit]


def _append(audit: list[AuditRecord], subject: str, ordinal: int, step: Transition) -> None:
    before = audit[-1].hash if audit else FIRST_LINK
    audit.append(linked(before, len(audit) + 1, subject, ordinal, step))


class _UnitOfWork:
    def __init__(self, tables: Tables) -> None:
        self.incidents = _Incidents(tables)
        self.catalogue = _Catalogue(tables)
        self.outbox = _Outbox(tables)
        self.feeds = _Feeds(tables)
        self.findings = _Findings(tables)
        self.restraints = _Restraints(tables)
        self.surfaces = _Surfaces(tables)
        self.audit = _Audit(tables)


class MemoryStore:
    """Forgets everything when the process ends."""

    def __init__(self, changes: ChangeSignal) -> None:
        self._tables = Tables()
        self._changes = changes

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` on a copy that takes the original's place if it succeeds."""
        tables = self._tables.copy()
        result = work(_UnitOfWork(tables))
        self._tables = tables
        self._changes.ring()
        return result

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` on a copy that is thrown away."""
        return work(_UnitOfWork(self._tables.copy()))

    def audit(self) -> Sequence[tuple[str, Transition]]:
        """Return every transition with the resource name of what changed, in order."""
        return tuple((record.subject, record.step) for record in self._tables.audit)
