"""Incidents that audits opened: when what they found is dealt with."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.finding import AuditEnd, AuditFinding
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.plan import Plan

_S = MitigationState


def is_acted_on(finding: AuditFinding, model: str, in_force: Sequence[Plan]) -> bool:
    """Whether the model's id is masked already, or its rows are left out or weighed."""
    return any(
        plan.model == model
        and any(
            each.label == finding.label
            and (each.feature == finding.feature if each.feature else each.node == finding.node)
            for each in plan.labels
        )
        for plan in in_force
    )


def settled(incident: Incident, time: datetime) -> Incident:
    """Return the incident closed, if calibration is healthy and a decision about what audits found
    stands; itself otherwise.

    To be asked once no policy wants anything more about it.
    """
    if incident.verdict is not IncidentVerdict.NATURAL_TRIGGER or not incident.is_open:
        return incident
    standing = [str(m.plan) for m in incident.mitigations if m.state is _S.EFFECTIVE]
    if standing:
        reason = f"calibration is healthy, and in force is: {'; '.join(standing)}"
        return incident.closed(actor=SERVICE, time=time, reason=reason)
    declined = [said for m in incident.mitigations if (said := _declined(m))]
    if declined:
        reason = f"calibration is healthy, and nothing is to be done: {'; '.join(declined)}"
        return incident.closed(actor=SERVICE, time=time, reason=reason)
    return incident


def cleared(incident: Incident, end: AuditEnd, time: datetime) -> Incident:
    """Return the incident without the findings that a later audit cleared, closed if calibration is
    healthy and none is left; itself if none was.

    A proposal that nobody answered expires with it; what is in force stays so.
    """
    gone = [finding for finding in incident.findings if end.clears(finding)]
    if not gone or not incident.is_open:
        return incident
    labels = ", ".join(f"label {finding.label!r}" for finding in gone)
    reason = f"{end.audit} of {end.node} no longer finds {labels}"
    left = tuple(finding for finding in incident.findings if finding not in gone)
    if left or incident.verdict is not IncidentVerdict.NATURAL_TRIGGER:
        return replace(incident, findings=left).noted(time, SERVICE, reason)
    waiting = incident.under_way
    if waiting is not None and waiting.state is not _S.PROPOSED:
        # Whoever approved it hears what comes of it; it is settled then.
        return incident.noted(time, SERVICE, reason)
    if waiting is not None:
        incident = incident.moved(waiting.id, _S.EXPIRED, actor=SERVICE, time=time, reason=reason)
    return incident.closed(actor=SERVICE, time=time, reason=reason)


def left_over(closed: Incident) -> tuple[AuditFinding, ...]:
    """Return what audits found that nobody decided about before the incident closed."""
    labels = {each.label for m in closed.mitigations for each in m.plan.labels}
    return tuple(finding for finding in closed.findings if finding.label not in labels)


def _declined(mitigation: Mitigation) -> str:
    """Return who decided against it, and why; empty if nobody did."""
    if not mitigation.plan.kind.is_on_findings:
        return ""
    if rejected := mitigation.passage(_S.REJECTED):
        return f"{rejected.actor} rejected to {mitigation.plan} ({rejected.reason})"
    undone = mitigation.passage(_S.REVERTING)
    if mitigation.state is _S.REVERTED and undone is not None and undone.actor != SERVICE:
        return f"{undone.actor} took back to {mitigation.plan} ({undone.reason})"
    return ""
