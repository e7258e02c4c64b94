"""What others want to know of an incident: that it opened or closed, and what was done to models.

It goes by the time at which it happened, not by event time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.runbook.domain.audit import AuditRecord
from services.runbook.domain.incident import Incident, IncidentState
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.plan import MitigationKind

_S = MitigationState


class HappeningKind(StrEnum):
    """What happened."""

    INCIDENT = "INCIDENT"
    FLAG_FLIP = "FLAG_FLIP"
    ROLLBACK = "ROLLBACK"
    ROW_ACTION = "ROW_ACTION"


_KINDS = {
    MitigationKind.KILL_SWITCH: HappeningKind.FLAG_FLIP,
    MitigationKind.ID_MASK: HappeningKind.FLAG_FLIP,
    MitigationKind.CHECKPOINT_ROLLBACK: HappeningKind.ROLLBACK,
    MitigationKind.ROW_QUARANTINE: HappeningKind.ROW_ACTION,
    MitigationKind.ROW_REBALANCE: HappeningKind.ROW_ACTION,
}


@dataclass(frozen=True)
class Happening:
    """Something that the runbook saw or did."""

    id: str
    """One that is told twice is the same."""
    model: str
    """`models/{model}`"""
    kind: HappeningKind
    time: datetime
    actor: str
    summary: str
    """In plain words."""
    details: Mapping[str, str] = field(default_factory=dict)


def happening_of(incident: Incident, record: AuditRecord) -> Happening | None:
    """Return what an audit record of the incident tells others, None for most."""
    if record.subject == incident.name:
        return _of_incident(incident, record)
    mitigation_id = record.subject.rpartition("/")[2]
    mitigation = next((m for m in incident.mitigations if m.id == mitigation_id), None)
    return _of_mitigation(mitigation, record) if mitigation else None


def _of_incident(incident: Incident, record: AuditRecord) -> Happening | None:
    step = record.step
    if step.before == step.after:
        return None
    what = "opened" if step.after == IncidentState.OPEN else "closed"
    return Happening(
        id=_id(record),
        model=incident.model,
        kind=HappeningKind.INCIDENT,
        time=step.time,
        actor=step.actor,
        summary=_because(f"{incident.id} {what}", step.reason),
        details={"incident": incident.name, "verdict": incident.verdict},
    )


def _of_mitigation(mitigation: Mitigation, record: AuditRecord) -> Happening | None:
    step, plan = record.step, mitigation.plan
    match MitigationState(step.before or step.after), MitigationState(step.after):
        case _S.APPLYING, _S.APPLIED:
            what = str(plan)
        case _S.REVERTING, _S.REVERTED:
            what = f"undone: {plan}"
        case _S.RELEASING, _S.RELEASED:
            what = f"served again to all: {plan.subject}"
        case _:
            return None
    return Happening(
        id=_id(record),
        model=plan.model,
        kind=_KINDS[plan.kind],
        time=step.time,
        actor=step.actor,
        summary=_because(what, step.reason),
        details={"mitigation": mitigation.name},
    )


def _id(record: AuditRecord) -> str:
    return f"runbook:{record.subject}:{record.ordinal}"


def _because(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
