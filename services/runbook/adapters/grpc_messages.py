"""Incidents, mitigations and pauses as the contract's messages."""

from dataclasses import asdict

from aftershock.v1 import incident_pb2
from aftershock.v1 import runbook_service_pb2 as pb
from services.runbook.adapters.grpc_evidence_messages import (
    comparison_message,
    time_message,
    window_message,
)
from services.runbook.adapters.grpc_finding_messages import finding_message
from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.pause import Pause
from services.runbook.domain.preview import MissingPreview, Preview


def incident_message(incident: Incident) -> incident_pb2.Incident:
    """Return the message of an incident."""
    return incident_pb2.Incident(
        name=incident.name,
        model=incident.model,
        state=incident_pb2.IncidentState.Value(f"INCIDENT_STATE_{incident.state}"),
        comparison=comparison_message(incident.comparison) if incident.comparison else None,
        mitigations=[mitigation_message(mitigation) for mitigation in incident.mitigations],
        timeline=[
            incident_pb2.TimelineEntry(time=time_message(e.time), actor=e.actor, message=e.message)
            for e in incident.timeline
        ],
        create_time=time_message(incident.create_time),
        close_time=time_message(incident.close_time) if incident.close_time else None,
        advice=incident.advice,
        verdict=incident_pb2.IncidentVerdict.Value(f"INCIDENT_VERDICT_{incident.verdict}"),
        windows=[window_message(window) for window in incident.windows],
        findings=[finding_message(finding) for finding in incident.findings],
        merged_into=f"incidents/{incident.merged_into}" if incident.merged_into else "",
        snooze_expire_time=(
            time_message(incident.snooze_expire_time) if incident.snooze_expire_time else None
        ),
    )


def mitigation_message(mitigation: Mitigation) -> incident_pb2.Mitigation:
    """Return the message of a mitigation."""
    applied, lease = mitigation.passage(MitigationState.APPLIED), mitigation.lease_expire_time
    return incident_pb2.Mitigation(
        name=mitigation.name,
        kind=incident_pb2.MitigationKind.Value(f"MITIGATION_KIND_{mitigation.plan.kind}"),
        state=incident_pb2.MitigationState.Value(f"MITIGATION_STATE_{mitigation.state}"),
        features=mitigation.plan.features,
        checkpoint=mitigation.plan.checkpoint,
        replaced_checkpoint=mitigation.plan.replaces,
        preview=preview_message(mitigation.preview),
        plan_hash=mitigation.plan_hash,
        proposer=mitigation.proposer,
        approver=mitigation.approver or "",
        create_time=time_message(mitigation.history[0].time),
        expire_time=time_message(mitigation.expire_time),
        apply_time=time_message(applied.time) if applied else None,
        verified_calibration=mitigation.verified_calibration or 0.0,
        etag=mitigation.etag,
        reason=mitigation.reason,
        approvers=[approval.actor for approval in mitigation.approvals],
        required_approvals=mitigation.required_approvals,
        escalated_to=mitigation.escalated_to,
        lease_expire_time=time_message(lease) if lease else None,
        served_percent=mitigation.stage.percent if mitigation.stage else 0,
        downstream_model_count=mitigation.downstream.models,
        labels=[incident_pb2.SuspectLabel(**asdict(label)) for label in mitigation.plan.labels],
    )


def preview_message(preview: Preview | MissingPreview) -> incident_pb2.Preview:
    """Return the message of a preview, or of why there is none."""
    if isinstance(preview, MissingPreview):
        return incident_pb2.Preview(missing_reason=preview.reason)
    return incident_pb2.Preview(
        calibration=preview.calibration,
        lower=preview.lower,
        upper=preview.upper,
        example_count=preview.example_count,
        alternatives=[
            incident_pb2.PreviewAlternative(
                features=other.features,
                calibration=other.calibration,
                lower=other.lower,
                upper=other.upper,
            )
            for other in preview.alternatives
        ],
    )


def pause_message(pause: Pause) -> pb.Pause:
    """Return the message of a pause."""
    last = pause.last
    return pb.Pause(
        paused=pause.is_on,
        actor=last.actor if last else "",
        reason=last.reason if last else "",
        time=time_message(last.time) if last else None,
    )
