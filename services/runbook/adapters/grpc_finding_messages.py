"""What audits found, as the contract's messages."""

from dataclasses import asdict
from datetime import UTC

from google.protobuf.json_format import Parse, ParseError

from aftershock.v1.lineage_pb2 import (
    AuditDetails,
    FindingDetails,
    FindingFlips,
    FindingLean,
    TimelineEvent,
)
from services.runbook.domain.finding import AuditEnd, AuditFinding, Clearance, Flips, Lean


def end_of(event: TimelineEvent) -> AuditEnd:
    """Return the end of an audit; it clears nothing where the event tells it in words only."""
    try:
        told = Parse(event.details_json or "{}", AuditDetails(), ignore_unknown_fields=True)
    except ParseError:
        told = AuditDetails()
    return AuditEnd(
        id=event.event_id,
        time=event.time.ToDatetime(UTC),
        audit=told.audit,
        node=told.node or event.node,
        cleared=tuple(
            Clearance(each.label, each.lean_looked_at, each.flips_looked_at)
            for each in told.cleared
        ),
    )


def finding_of(event: TimelineEvent) -> AuditFinding:
    """Return what an audit found; without a label where the event tells it in words only."""
    try:
        told = Parse(event.details_json or "{}", FindingDetails(), ignore_unknown_fields=True)
    except ParseError:
        told = FindingDetails()
    lean, flips = told.lean, told.flips
    return AuditFinding(
        id=event.event_id,
        time=event.time.ToDatetime(UTC),
        audit=told.audit,
        node=told.node or event.node,
        label=told.label,
        feature=told.feature,
        severity=told.severity,
        exposure=told.exposure,
        evidence=told.evidence,
        lean=Lean(
            lean.outcome,
            lean.row_count,
            lean.share,
            lean.expected_share,
            lean.z,
            lean.significant,
        )
        if told.HasField("lean")
        else None,
        flips=Flips(
            flips.checkpoint,
            flips.example_count,
            flips.flipped_up,
            flips.flipped_down,
            flips.to_class,
        )
        if told.HasField("flips")
        else None,
        model_count=told.model_count if told.HasField("model_count") else None,
    )


def finding_message(finding: AuditFinding) -> FindingDetails:
    """Return the message of what an audit found."""
    return FindingDetails(
        audit=finding.audit,
        label=finding.label,
        severity=finding.severity,
        exposure=finding.exposure,
        evidence=finding.evidence,
        node=finding.node,
        feature=finding.feature,
        lean=FindingLean(**asdict(finding.lean)) if finding.lean else None,
        flips=FindingFlips(**asdict(finding.flips)) if finding.flips else None,
        model_count=finding.model_count,
    )
