"""What the use cases need from outside."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from services.runbook.domain.audit import Anchor, AuditRecord
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.guardrail import Circumstances
from services.runbook.domain.incident import Incident
from services.runbook.domain.kill_switch import Kill
from services.runbook.domain.pause import Pause
from services.runbook.domain.plan import Change, Plan, Settings
from services.runbook.domain.policy import Condition, Fields, Rules
from services.runbook.domain.preview import JointAblation
from services.runbook.domain.rollback import Registered
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


class Audit(Protocol):
    """Every transition as it was recorded, one record linked to the next."""

    def newest(self) -> AuditRecord | None:
        """Return the newest record."""

    def records(self) -> Iterable[AuditRecord]:
        """Return every record in order."""


class Restraints(Protocol):
    """What guard rails look at besides the plan, within one transaction."""

    def circumstances(self, since: datetime) -> Circumstances:
        """Return what is in force, what was begun since then, and the pause."""

    def pause(self) -> Pause:
        """Return whether mitigations are stopped."""

    def record(self, pause: Pause) -> None:
        """Write an audit record of a pause that was begun or ended."""


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
    def restraints(self) -> Restraints:
        """What guard rails look at."""

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


class Anchors(Protocol):
    """The audit's newest hash at various times, kept outside the database."""

    async def append(self, anchor: Anchor) -> None:
        """Keep an anchor; keeping one twice does no harm. Raises AnchorsUnavailable."""

    async def last(self) -> Anchor | None:
        """Return the anchor that was kept last. Raises AnchorsUnavailable."""

    async def read(self) -> Sequence[Anchor]:
        """Return every anchor, oldest first. Raises AnchorsUnavailable."""


class Actuator(Protocol):
    """Carries a mitigation out in a real system.

    `key` names one mitigation; all methods are idempotent by it.
    """

    async def plan(self, plan: Plan) -> Change:
        """Return what is in force and what the plan would put in force. Changes nothing.

        Raises:
            ActuatorConflict: something else is in force than the plan replaces.
            ActuatorRefused: this actuator cannot carry such a plan out.
            ActuatorUnavailable: ask again.
        """

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Put `change.target` in force if `change.previous` is; once a key, whatever the attempts.

        Raises:
            ActuatorConflict: something else is in force, or the key was reverted. Nothing changed.
            ActuatorRefused: it will never be done.
            ActuatorUnavailable: it may or may not have been done: ask again.
        """

    async def observe(self, plan: Plan) -> Settings:
        """Return what is in force now, by lever of the plan."""

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Put `change.previous` back where `change.target` is in force, and refuse the key from
        now on.

        Raises:
            ActuatorUnavailable: it may or may not have been done: ask again.
        """


class Releases(Protocol):
    """Brings a kill-switch's features back to a share of traffic."""

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        """Serve what the key switched off to that percent of traffic; the same share again changes
        nothing. 0 switches it off for all; at 100 it is still the key's to switch off again.

        A step below one that was carried out changes nothing: somebody decided otherwise since.

        Raises:
            ActuatorUnavailable: it may or may not have been done: ask again.
        """


class KilledFeatures(Protocol):
    """Which features are served at their baselines. Survives everything but being told otherwise.

    Idempotent by key.
    """

    async def read(self) -> Mapping[tuple[str, str], Kill]:
        """Return the killed features by (model, feature). Raises StoreUnavailable."""

    async def expose(self, key: str, percent: int, step: int) -> None:
        """Set the share of traffic that what the key switched off is served to, unless a later
        step did. Raises StoreUnavailable."""

    async def switch(self, key: str, model: str, change: Change) -> None:
        """Apply the change atomically. Raises ActuatorConflict, StoreUnavailable."""

    async def restore(self, key: str, model: str, change: Change) -> None:
        """Undo the change atomically and refuse the key from now on. Raises StoreUnavailable."""


class ShiftFeed(Protocol):
    """Closed windows as the aggregator publishes them."""

    def events(self, cursors: Mapping[str, str]) -> AsyncGenerator[ShiftEvent, None]:
        """Yield events after the cursors, by model, without end; at least once each, in order.

        An event counts as consumed when the next one is asked for.
        """


class Watermarks(Protocol):
    """How far event time has come."""

    async def latest(self, model: str) -> datetime | None:
        """Return the event time of the model's newest example; None if nobody can say."""


class ImportanceSource(Protocol):
    """How much features matter in closed windows."""

    async def gfi(self, window: str, features: Sequence[str]) -> Mapping[str, float]:
        """Return the GFI of these features in a window; none where the window is not known.

        Changes nothing. Raises ImportancesUnavailable: ask again.
        """


class Registry(Protocol):
    """Which checkpoints of a model there are to go back to."""

    async def registered(self, model: str) -> Registered:
        """Return the model's checkpoints and which one is served.

        Changes nothing. Raises RegistryUnavailable, which says why.
        """


class Previewer(Protocol):
    """Asks the model what a mitigation would do."""

    async def ablate(self, window: str, sets: Sequence[Sequence[str]]) -> Sequence[JointAblation]:
        """Return mean predictions over the window's sample with each set ablated together.

        Changes nothing. Raises PreviewUnavailable, which says why.
        """


class PolicySource(Protocol):
    """Where the rules come from."""

    def current(self) -> Rules:
        """Return the rules in force. Changes nothing."""


class RuleReader(Protocol):
    """Makes rules from text."""

    def read(self, name: str, text: str) -> Rules:
        """Return the rules in a policy file's text.

        Raises:
            InvalidPolicy: it cannot be followed; one line for each problem, beginning with `name`.
        """


class Conditions(Protocol):
    """Makes conditions from text."""

    def compile(self, expression: str, fields: Fields) -> Condition:
        """Return the condition; it may use these variables, and these fields of each.

        Raises:
            InvalidPolicy: the text is no expression, or uses what there is not.
        """


class Clock(Protocol):
    """Wall time."""

    def now(self) -> datetime:
        """Return the time, UTC."""
