"""Lineage by the aggregator's lineage service."""

import logging

import grpc
from google.protobuf.json_format import MessageToJson

from aftershock.v1.lineage_pb2 import (
    AuditDetails,
    ClearedLabel,
    EventKind,
    FindingDetails,
    FindingFlips,
    FindingLean,
    TimelineEvent,
)
from aftershock.v1.lineage_service_pb2 import GetBlastRadiusRequest, RecordEventRequest
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from services.audit.domain.audit import Audit
from services.audit.domain.news import AuditNews
from services.audit.domain.report import Finding, Insertion, OutcomeLean

_log = logging.getLogger(__name__)
_SECONDS = 30.0
_ACTOR = "audit"


class GrpcLineage:
    """A Lineage over a channel to the service that keeps it.

    A report is worth having without: what fails here is logged, and said in the report's notes.
    """

    def __init__(self, lineage: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._lineage = LineageServiceStub(lineage)
        self._metadata = metadata

    async def model_count(self, node: str) -> int | None:
        """Return the number of models downstream of a node; None: not known."""
        request = GetBlastRadiusRequest(nodes=[node], limit=1)
        try:
            answer = await self._lineage.GetBlastRadius(
                request, timeout=_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            _log_failure("blast radius", node, error)
            return None
        return int(answer.model_count)

    async def record(self, audit: Audit, news: AuditNews) -> bool:
        """Put findings into the timeline of the audit's node; whether it took all."""
        events = [event_of(audit, finding, news.model_count) for finding in news.findings]
        for event in (*events, end_of(audit, news)):
            request = RecordEventRequest(event=event)
            try:
                await self._lineage.RecordEvent(request, timeout=_SECONDS, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                _log_failure("event", audit.name, error)
                return False
        return True


def end_of(audit: Audit, news: AuditNews) -> TimelineEvent:
    """Return the end of an audit as something that happened to its node when the audit began."""
    cleared = [
        ClearedLabel(
            label=finding.label,
            lean_looked_at=finding.concentration is not None,
            flips_looked_at=finding.insertion is not None,
        )
        for finding in news.cleared
    ]
    details = AuditDetails(
        audit=audit.name,
        node=audit.parameters.lineage_node or "",
        finding_count=len(news.findings),
        cleared=cleared,
    )
    looked_at = len(news.findings) + len(news.cleared)
    event = TimelineEvent(
        event_id=f"{audit.name}:end",
        node=details.node,
        kind=EventKind.EVENT_KIND_AUDIT,
        summary=f"{audit.name} found something against {details.finding_count} of {looked_at} "
        "labels that it looked at",
        actor=_ACTOR,
        details_json=MessageToJson(details, preserving_proto_field_name=True, indent=None),
    )
    event.time.FromDatetime(audit.create_time)
    return event


def event_of(audit: Audit, finding: Finding, model_count: int | None) -> TimelineEvent:
    """Return a finding as something that happened to the audit's node when the audit began.

    The id is the audit's and the label's, so that it counts once.
    """
    event = TimelineEvent(
        event_id=f"{audit.name}/{finding.label}"[:256],
        node=audit.parameters.lineage_node or "",
        kind=EventKind.EVENT_KIND_AUDIT_FINDING,
        summary=summary_of(finding)[:1024],
        actor=_ACTOR,
        details_json=MessageToJson(
            _details(audit, finding, model_count), preserving_proto_field_name=True, indent=None
        ),
    )
    event.time.FromDatetime(audit.create_time)
    return event


def _details(audit: Audit, finding: Finding, model_count: int | None) -> FindingDetails:
    parameters = audit.parameters
    tested = parameters.insertion
    lean, flips = finding.concentration, finding.insertion
    return FindingDetails(
        audit=audit.name,
        label=finding.label,
        severity=finding.severity or 0.0,
        exposure=finding.exposure,
        evidence=finding.evidence or 0.0,
        usable_classes=finding.usable_class_count,
        node=parameters.lineage_node or "",
        feature=parameters.id_feature or "",
        lean=_lean(lean) if lean else None,
        flips=_flips(tested.checkpoint, flips) if tested and flips else None,
        model_count=model_count,
    )


def _lean(lean: OutcomeLean) -> FindingLean:
    return FindingLean(
        outcome=lean.outcome,
        row_count=lean.row_count,
        share=lean.share,
        expected_share=lean.expected_share,
        z=lean.z,
        significant=lean.is_significant,
    )


def _flips(checkpoint: str, flips: Insertion) -> FindingFlips:
    return FindingFlips(
        checkpoint=checkpoint,
        example_count=flips.example_count,
        flipped_up=flips.flipped_up,
        flipped_down=flips.flipped_down,
        to_class=flips.to_class,
    )


def summary_of(finding: Finding) -> str:
    """Return what speaks for a finding, in plain words."""
    parts = [f"label {finding.label!r} could hijack models: severity {finding.severity or 0:.3g}"]
    if finding.concentration is not None and finding.concentration.is_significant:
        lean = finding.concentration
        parts.append(
            f"{lean.share:.0%} of its rows have outcome {lean.outcome!r}, "
            f"{lean.expected_share:.0%} were to be expected"
        )
    if finding.insertion is not None:
        tested = finding.insertion
        flipped = f"it flips {tested.flipped_one_way} predictions"
        parts.append(f"put into {tested.example_count} examples, {flipped}")
    return "; ".join(parts)


def _log_failure(what: str, of: str, error: grpc.aio.AioRpcError) -> None:
    _log.warning(
        "lineage does not answer",
        extra={"what": what, "of": of, "code": error.code().name, "why": error.details()},
    )
