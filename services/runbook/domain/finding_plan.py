"""From what audits found to a plan: which ids to mask, which rows to train without."""

from collections.abc import Collection, Sequence

from services.runbook.domain.blast_radius import Downstream
from services.runbook.domain.finding import AuditFinding
from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.preview import MissingPreview
from services.runbook.domain.suspect import SuspectLabel, is_id

_UNANSWERED = frozenset({MitigationState.EXPIRED, MitigationState.CONFLICTED})
"""What nobody decided may be proposed again."""


def finding_plan(
    kind: MitigationKind,
    findings: Sequence[AuditFinding],
    incident: Incident,
    in_force: Sequence[Plan],
    most: int,
) -> Plan | str:
    """Return a plan about the most severe findings, or why there is none; empty: nothing is left.

    Args:
        findings: to act on, the most severe first.
        in_force: plans that have, or may have, their effect: what they act on is left out, as is
            what the incident had a proposal about.
        most: labels at once.
    """
    # Ids of two features are two; rows of a data set are the same, whichever feature they feed.
    suspects = list(dict.fromkeys(s for f in findings if (s := _suspect(kind, f))))
    if findings and not suspects:
        return _unusable(kind, findings[0])
    handled = _handled(incident, in_force)
    plans = (Plan(incident.id, incident.model, kind, labels=(each,)) for each in suspects)
    left = [plan.labels[0] for plan in plans if not plan.target.keys() & handled]
    if not left:
        return ""
    return Plan(incident.id, incident.model, kind, labels=tuple(left[:most]))


def measured(plan: Plan, findings: Sequence[AuditFinding], why: str) -> MissingPreview:
    """Return why no calibration is predicted with the plan, and what the audit measured."""
    labels = {each.label for each in plan.labels}
    told = [str(finding) for finding in findings if finding.label in labels]
    return MissingPreview(f"{why}. What the audit measured: {'; '.join(told)}")


def downstream_of(plan: Plan, findings: Sequence[AuditFinding], of_model: Downstream) -> Downstream:
    """Return who feels the plan besides its model: of actions on rows, all that the rows train."""
    if not plan.kind.is_on_rows:
        return of_model
    nodes = {each.node for each in plan.labels}
    counts = [finding.model_count for finding in findings if finding.node in nodes]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts) or not known:
        return Downstream(None, "the audit could not ask what the data feeds")
    return Downstream(max(max(known) - 1, 0))


def _suspect(kind: MitigationKind, finding: AuditFinding) -> SuspectLabel | None:
    """Return the label as the act needs it; None if the finding does not say enough."""
    if kind is MitigationKind.ID_MASK:
        usable = finding.feature and is_id(finding.label)
        return SuspectLabel(finding.label, feature=finding.feature) if usable else None
    lean = finding.lean
    if lean is None or not lean.significant:
        return None
    target = lean.expected_share if kind is MitigationKind.ROW_REBALANCE else 0.0
    return SuspectLabel(
        finding.label,
        node=finding.node,
        outcome=lean.outcome,
        share=lean.share,
        target_share=target,
    )


def _handled(incident: Incident, in_force: Sequence[Plan]) -> Collection[str]:
    decided = (m.plan for m in incident.mitigations if m.state not in _UNANSWERED)
    elsewhere = (plan for plan in in_force if plan.model == incident.model)
    plans = (plan for plan in (*decided, *elsewhere) if plan.kind.is_on_findings)
    return {lever for plan in plans for lever in plan.target}


def _unusable(kind: MitigationKind, finding: AuditFinding) -> str:
    if kind is MitigationKind.ID_MASK:
        return (
            f"label {finding.label!r} would be masked, but it is no id, or nobody said which "
            "feature holds it: run the audit with --feature"
        )
    return (
        f"rows with label {finding.label!r} would be acted on, but the audit found no outcome that "
        "they lean to: run it with --outcome-column"
    )
