"""What audits found, as the contract's messages."""

import math
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
        node=event.node,
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
    return AuditFinding(
        id=event.event_id,
        time=event.time.ToDatetime(UTC),
        audit=told.audit,
        # As the aggregator has checked it, whatever the details say.
        node=event.node,
        label=told.label,
        feature=told.feature,
        severity=_number(told.severity),
        exposure=_number(told.exposure),
        evidence=_number(told.evidence),
        lean=_lean(told.lean) if told.HasField("lean") else None,
        flips=_flips(told.flips) if told.HasField("flips") else None,
        model_count=told.model_count if told.HasField("model_count") else None,
    )


def _lean(told: FindingLean) -> Lean:
    return Lean(
        told.outcome,
        told.row_count,
        min(_number(told.share), 1.0),
        min(_number(told.expected_share), 1.0),
        told.z if math.isfinite(told.z) else 0.0,
        told.significant,
    )


def _flips(told: FindingFlips) -> Flips:
    return Flips(
        told.checkpoint, told.example_count, told.flipped_up, told.flipped_down, told.to_class
    )


def _number(value: float) -> float:
    """Return a number of at least 0; 0 where it is none: anybody may have told of it."""
    return max(value, 0.0) if math.isfinite(value) else 0.0


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
