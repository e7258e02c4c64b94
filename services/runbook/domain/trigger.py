"""Incidents that audits opened: when what they found is dealt with."""

from collections.abc import Sequence
from datetime import datetime

from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.finding import AuditFinding
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
