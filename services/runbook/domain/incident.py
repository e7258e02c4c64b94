"""A calibration anomaly, or what audits found, with its evidence, mitigations and timeline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.runbook.domain.diagnosis import IncidentVerdict, advice_on, culprits, diagnose
from services.runbook.domain.errors import InvalidTransition, MitigationNotFound
from services.runbook.domain.evidence import Comparison, ShiftEvent, Window
from services.runbook.domain.finding import AuditFinding, newest_of_each
from services.runbook.domain.mitigation import (
    UNDER_WAY,
    Mitigation,
    MitigationState,
    Transition,
    transition,
)

SERVICE = "runbook"
"""The actor of what nobody decided."""


class IncidentState(StrEnum):
    """Open until the calibration is healthy again."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


@dataclass(frozen=True)
class TimelineEntry:
    """Something that happened to an incident."""

    time: datetime
    actor: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Everything about one calibration anomaly of one model, or about what audits found in what
    feeds it. A model has one open at a time."""

    id: str
    model: str
    """`models/{model}`"""
    comparison: Comparison | None
    """The ranked shifts that stand for the incident."""
    windows: tuple[Window, ...]
    """Since the incident opened, by start."""
    history: tuple[Transition, ...]
    mitigations: tuple[Mitigation, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    advice: str = ""
    """What the expert should do next."""
    new_checkpoint: bool = False
    """Calibration broke soon after the model began to score with its checkpoint."""
    merged_into: str = ""
    """Id of the incident that this one turned out to be."""
    snooze_expire_time: datetime | None = None
    """Until when nobody is called about it. None: nobody snoozed it."""
    findings: tuple[AuditFinding, ...] = ()
    """Of audits, that opened it or came to it."""

    @property
    def name(self) -> str:
        """`incidents/{incident}`"""
        return f"incidents/{self.id}"

    @property
    def state(self) -> IncidentState:
        """Open or closed."""
        return IncidentState(self.history[-1].after)

    @property
    def is_open(self) -> bool:
        """Whether it still needs somebody."""
        return self.state is IncidentState.OPEN

    @property
    def create_time(self) -> datetime:
        """When it opened."""
        return self.history[0].time

    @property
    def close_time(self) -> datetime | None:
        """When it closed."""
        return None if self.is_open else self.history[-1].time

    @property
    def verdict(self) -> IncidentVerdict:
        """What broke, as far as the evidence tells."""
        if self.findings and not self.anomalies:
            return IncidentVerdict.NATURAL_TRIGGER
        return diagnose(self.comparison, new_checkpoint=self.new_checkpoint)

    @property
    def culprits(self) -> frozenset[str]:
        """The features that stand out."""
        return culprits(self.comparison)

    @property
    def under_way(self) -> Mitigation | None:
        """The mitigation that the incident waits for."""
        return next((m for m in self.mitigations if m.state in UNDER_WAY), None)

    @property
    def windows_end(self) -> datetime | None:
        """End, in event time, of its newest window; None if it has none."""
        return self.windows[-1].end_time if self.windows else None

    @property
    def anomalies(self) -> tuple[Window, ...]:
        """The windows with an anomalous calibration, by start."""
        return tuple(window for window in self.windows if window.calibration.anomalous)

    def mitigation(self, mitigation_id: str) -> Mitigation:
        """Return one of the mitigations. Raises MitigationNotFound."""
        for mitigation in self.mitigations:
            if mitigation.id == mitigation_id:
                return mitigation
        known = ", ".join(m.id for m in self.mitigations) or "none"
        raise MitigationNotFound(
            f"{self.name} has no mitigation {mitigation_id}; it has {known}", field="name"
        )

    def covers(self, window: Window) -> bool:
        """Whether the window lies in event time that the incident has already gone through."""
        return bool(self.windows) and window.start_time < self.windows[-1].end_time

    def noted(self, time: datetime, actor: str, message: str) -> "Incident":
        """Return the incident with one more line in its timeline."""
        return replace(self, timeline=(*self.timeline, TimelineEntry(time, actor, message)))

    def advised(self, advice: str) -> "Incident":
        """Return the incident with what the expert should do next."""
        return replace(self, advice=advice)

    def attached(self, event: ShiftEvent, time: datetime) -> "Incident":
        """Return the incident with one more window. A window that it has changes nothing.

        While a mitigation is under way the comparison stays what the expert decides on.
        """
        window = event.window
        if any(window.name == known.name for known in self.windows):
            return self
        windows = sorted((*self.windows, window), key=lambda w: w.start_time)
        keeps = event.comparison is None or self.under_way is not None or not self.is_open
        health = "anomalous" if window.calibration.anomalous else "not anomalous"
        return replace(
            self,
            windows=tuple(windows),
            comparison=self.comparison if keeps else event.comparison,
        ).noted(time, SERVICE, f"window {window.id}: calibration {window.calibration}, {health}")

    def with_finding(self, finding: AuditFinding, time: datetime) -> "Incident":
        """Return the incident with one more finding. One that it has changes nothing."""
        if any(finding.id == known.id for known in self.findings):
            return self
        added = replace(self, findings=newest_of_each((*self.findings, finding)))
        return added.noted(time, SERVICE, f"{finding.audit} found {finding}")

    def with_proposal(self, mitigation: Mitigation) -> "Incident":
        """Return the incident with a newly proposed mitigation."""
        first = mitigation.history[0]
        known = f"preview {mitigation.preview}; {mitigation.downstream}; {first.reason}"
        message = f"proposed: {mitigation.plan} ({known})"
        added = replace(self, mitigations=(*self.mitigations, mitigation))
        return added.noted(first.time, first.actor, message)

    def with_mitigation(self, changed: Mitigation) -> "Incident":
        """Return the incident with what else has become known of one of its mitigations."""
        others = tuple(changed if m.id == changed.id else m for m in self.mitigations)
        return replace(self, mitigations=others)

    def moved(
        self,
        mitigation_id: str,
        to: MitigationState,
        *,
        actor: str,
        time: datetime,
        reason: str,
        told: str = "",
    ) -> "Incident":
        """Return the incident with one mitigation in a new state and the timeline saying so.

        Args:
            told: what the timeline says happened, if not the new state.

        Raises:
            MitigationNotFound: no such mitigation.
            InvalidTransition: the state machine has no such way.
        """
        mitigation = self.mitigation(mitigation_id)
        changed = transition(mitigation, to, actor=actor, time=time, reason=reason)
        message = f"{told or to.lower()}: {mitigation.plan}" + (f" ({reason})" if reason else "")
        return self.with_mitigation(changed).noted(time, actor, message)

    def closed(self, *, actor: str, time: datetime, reason: str) -> "Incident":
        """Return the incident closed. Raises InvalidTransition if it is."""
        if not self.is_open:
            raise InvalidTransition(self.name, self.state, IncidentState.CLOSED, ())
        step = Transition(IncidentState.OPEN, IncidentState.CLOSED, time, actor, reason)
        history = (*self.history, step)
        return replace(self, history=history, advice="").noted(time, actor, f"closed: {reason}")

    def reopened(self, *, time: datetime, reason: str) -> "Incident":
        """Return the incident open again. Raises InvalidTransition if it is."""
        if self.is_open:
            raise InvalidTransition(self.name, self.state, IncidentState.OPEN, ())
        step = Transition(IncidentState.CLOSED, IncidentState.OPEN, time, SERVICE, reason)
        again = replace(self, history=(*self.history, step))
        return again.noted(time, SERVICE, f"opened again: {reason}")


def opened_on(
    incident_id: str, model: str, findings: Sequence[AuditFinding], time: datetime
) -> Incident:
    """Return a new incident on what audits found."""
    reason = "; ".join(f"{each.audit} found {each}" for each in findings)
    incident = Incident(
        id=incident_id,
        model=model,
        comparison=None,
        windows=(),
        history=(Transition("", IncidentState.OPEN, time, SERVICE, reason),),
        findings=newest_of_each(findings),
    )
    advice = (
        "Calibration is healthy, but an audit found what could hijack the model. Waiting for a "
        "policy's proposal."
    )
    return incident.advised(advice).noted(time, SERVICE, f"opened: {reason}")


def opened(
    incident_id: str, event: ShiftEvent, time: datetime, *, new_checkpoint: bool = False
) -> Incident:
    """Return a new incident on an anomalous window."""
    reason = f"calibration {event.window.calibration} in window {event.window.id}"
    incident = Incident(
        id=incident_id,
        model=event.model,
        comparison=event.comparison,
        windows=(event.window,),
        history=(Transition("", IncidentState.OPEN, time, SERVICE, reason),),
        new_checkpoint=new_checkpoint,
    )
    advice = advice_on(incident.verdict, event.comparison)
    return incident.advised(advice).noted(time, SERVICE, f"opened: {reason}")
