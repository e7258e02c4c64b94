"""Where incidents and everything about them are kept."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from services.runbook.domain.audit import AuditRecord
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.finding import AuditEnd, AuditFinding
from services.runbook.domain.guardrail import Circumstances
from services.runbook.domain.incident import Incident
from services.runbook.domain.pause import Pause
from services.runbook.domain.surface import Surface
from services.runbook.domain.work import AT_ONCE, Claim, Work, WorkKind

T = TypeVar("T")


class Incidents(Protocol):
    """Incidents, within one transaction that sees and changes them alone."""

    def get(self, incident_id: str) -> Incident:
        """Return an incident. Raises IncidentNotFound."""

    def recent(self, model: str) -> Sequence[Incident]:
        """Return the model's two newest incidents, but those that were merged into another: the
        open one first, if one is open, then newest first."""

    def next_id(self) -> str:
        """Return the id of the next incident, `INC-{number}`."""

    def save(self, incident: Incident) -> None:
        """Write an incident as it is now, with its new timeline entries, and an audit record for
        each new transition of it and of its mitigations."""

    def watched(self, model: str) -> Sequence[Incident]:
        """Return the model's incidents with a mitigation that later windows decide about."""

    def overdue(self, time: datetime) -> Sequence[str]:
        """Return the ids of incidents with a proposal that expires at `time` or before."""


class Catalogue(Protocol):
    """Incidents to look at."""

    def page(self, model: str | None, size: int, token: str) -> tuple[Sequence[Incident], str]:
        """Return incidents, newest first, and the token of the next page; empty at the end.

        Raises:
            InvalidPageToken: no page ended with this token.
        """

    def open_ids(self) -> Sequence[str]:
        """Return the ids of all open incidents."""

    def versions(self, model: str | None) -> Mapping[str, int]:
        """Return a number by incident id that grows with each change of the incident."""


class Outbox(Protocol):
    """Wanted effects. What a transaction puts here, a worker carries out after it."""

    def put(self, work: Work, due: datetime = AT_ONCE) -> None:
        """Ask for an effect, at some time or at once."""

    def hasten(self, kind: WorkKind, incident: str) -> None:
        """Ask for an incident's effect at once, which may wait already: what waits and is held by
        nobody becomes due, and is not put a second time."""

    def due(self, kinds: Sequence[WorkKind], time: datetime) -> bool:
        """Whether there is work of these kinds to claim. Changes nothing."""

    def claim(self, kinds: Sequence[WorkKind], time: datetime, until: datetime) -> Claim | None:
        """Take the oldest due work of these kinds that nobody holds, until the lease ends.

        Works of one mitigation are handed out one after the other, in the order they were put.
        """

    def finish(self, claim: Claim) -> None:
        """Remove finished work. Raises LeaseLost if it has been taken over."""

    def postpone(self, claim: Claim, due: datetime) -> None:
        """Give work back for a later attempt. Raises LeaseLost if it has been taken over."""


class Feeds(Protocol):
    """How far each model's stream of shifts has been read."""

    def record(self, event: ShiftEvent) -> bool:
        """Move the model's cursor past the event. False: its window was seen before."""

    def cursors(self) -> Mapping[str, str]:
        """Return the cursor of the last event recorded, by model."""

    def newest_window_end(self, model: str) -> datetime | None:
        """Return the latest end, in event time, of the model's windows that were seen."""

    def checkpoint_since(self, model: str) -> datetime | None:
        """Return the start, in event time, of the first window that the model's newest checkpoint
        scored; None if no other one scored before it."""


class Findings(Protocol):
    """How far what audits tell has been read: what they found, and that they ended."""

    def until(self) -> datetime | None:
        """Return the time of the newest of it that was taken in; None if none ever was."""

    def seen(self, since: datetime) -> Collection[str]:
        """Return the ids of what was taken in of that time and later."""

    def record(self, told: AuditFinding | AuditEnd) -> bool:
        """Take it in. False: it was before."""


class Audit(Protocol):
    """Every transition as it was recorded, one record linked to the next."""

    def newest(self) -> AuditRecord | None:
        """Return the newest record."""

    def records(self) -> Iterable[AuditRecord]:
        """Return every record in order."""

    def after(self, sequence: int, since: datetime, limit: int) -> Sequence[AuditRecord]:
        """Return the first records behind that place, in order, of what happened since then."""


class Restraints(Protocol):
    """What guard rails look at besides the plan, within one transaction."""

    def circumstances(self, since: datetime) -> Circumstances:
        """Return what is in force, what was begun since then, and the pause."""

    def pause(self) -> Pause:
        """Return whether mitigations are stopped."""

    def record(self, pause: Pause) -> None:
        """Write an audit record of a pause that was begun or ended."""


class Surfaces(Protocol):
    """Where bots show incidents."""

    def get(self, incident_id: str, surface_id: str) -> Surface:
        """Return a surface; version 0, and nothing known, if nobody ever claimed it."""

    def save(self, surface: Surface) -> None:
        """Write it as it is now. The incident does not change by it."""


class UnitOfWork(Protocol):
    """One transaction: all of it happens, or none."""

    @property
    def incidents(self) -> Incidents:
        """Incidents to change."""

    @property
    def catalogue(self) -> Catalogue:
        """Incidents to look at."""

    @property
    def outbox(self) -> Outbox:
        """Effects to ask for."""

    @property
    def feeds(self) -> Feeds:
        """Streams to move on in."""

    @property
    def findings(self) -> Findings:
        """What audits found, to move on in."""

    @property
    def restraints(self) -> Restraints:
        """What guard rails look at."""

    @property
    def surfaces(self) -> Surfaces:
        """Where incidents are shown."""

    @property
    def audit(self) -> Audit:
        """Records to look at: saving an incident writes them."""


class Store(Protocol):
    """Where incidents live."""

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in one transaction and commit it; roll back if it raises.

        `work` may run several times, when another transaction was faster: it has no effect but
        through its unit of work.

        Raises:
            StoreUnavailable: the database cannot take the change just now.
        """

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which changes nothing, on a consistent view. Raises StoreUnavailable."""
