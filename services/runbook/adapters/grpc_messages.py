"""Between the contract's messages and the domain's nouns."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import incident_pb2, shift_pb2, window_pb2
from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.example_pb2 import FeatureKind
from services.runbook.domain.evidence import (
    Calibration,
    Comparison,
    FeatureShift,
    ShiftEvent,
    Verdict,
    Window,
)
from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.pause import Pause
from services.runbook.domain.preview import MissingPreview, Preview

_VERDICT = "VERDICT_"
_KIND = "FEATURE_KIND_"
_SELECTION = "CONTROL_SELECTION_"


def event_from(message: shift_pb2.ShiftEvent) -> ShiftEvent:
    """Return the event.

    Raises:
        ValueError: it lacks a window, a calibration or a verdict.
    """
    comparison = comparison_from(message.comparison) if message.HasField("comparison") else None
    return ShiftEvent(message.cursor, message.model, _window_from(message.window), comparison)


def _window_from(message: window_pb2.Window) -> Window:
    if not (message.name and message.HasField("calibration")):
        raise ValueError(f"window {message.name!r} has no name or no calibration")
    calibration = message.calibration
    return Window(
        name=message.name,
        start_time=_time_from(message.start_time),
        end_time=_time_from(message.end_time),
        checkpoint_digest=message.checkpoint_digest,
        considered_count=message.considered_count,
        displayed_count=message.displayed_count,
        calibration=Calibration(
            ratio=calibration.ratio,
            lower=calibration.lower,
            upper=calibration.upper,
            expected=calibration.expected,
            observed=calibration.observed,
            anomalous=calibration.anomalous,
        ),
    )


def comparison_from(message: shift_pb2.Comparison) -> Comparison:
    """Return the comparison. Raises ValueError on what breaks the contract."""
    return Comparison(
        control=_window_from(message.control),
        anomaly=_window_from(message.anomaly),
        control_selection=shift_pb2.ControlSelection.Name(message.control_selection).removeprefix(
            _SELECTION
        ),
        control_note=message.control_note,
        verdict=Verdict(shift_pb2.Verdict.Name(message.verdict).removeprefix(_VERDICT)),
        feature_count=message.feature_count,
        significant_count=message.significant_count,
        shifts=tuple(_shift_from(shift) for shift in message.shifts),
        history_count=message.history_count,
    )


def _shift_from(message: shift_pb2.FeatureShift) -> FeatureShift:
    return FeatureShift(
        feature=message.feature,
        kind=FeatureKind.Name(message.kind).removeprefix(_KIND),
        rank=message.rank,
        shift=message.shift,
        control_gfi=message.control_gfi,
        anomaly_gfi=message.anomaly_gfi,
        control_coverage=message.control_coverage,
        anomaly_coverage=message.anomaly_coverage,
        control_rank=message.control_rank,
        anomaly_rank=message.anomaly_rank,
        lower=message.lower,
        upper=message.upper,
        z=message.z,
        significant=message.significant,
        score=message.score,
        shift_rank=message.shift_rank,
    )


def _time_from(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def incident_message(incident: Incident) -> incident_pb2.Incident:
    """Return the message of an incident."""
    return incident_pb2.Incident(
        name=incident.name,
        model=incident.model,
        state=incident_pb2.IncidentState.Value(f"INCIDENT_STATE_{incident.state}"),
        comparison=_comparison_message(incident.comparison) if incident.comparison else None,
        mitigations=[mitigation_message(mitigation) for mitigation in incident.mitigations],
        timeline=[
            incident_pb2.TimelineEntry(time=_time_message(e.time), actor=e.actor, message=e.message)
            for e in incident.timeline
        ],
        create_time=_time_message(incident.create_time),
        close_time=_time_message(incident.close_time) if incident.close_time else None,
        advice=incident.advice,
        verdict=incident_pb2.IncidentVerdict.Value(f"INCIDENT_VERDICT_{incident.verdict}"),
        windows=[_window_message(window) for window in incident.windows],
        merged_into=f"incidents/{incident.merged_into}" if incident.merged_into else "",
        snooze_expire_time=(
            _time_message(incident.snooze_expire_time) if incident.snooze_expire_time else None
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
        plan_hash=mitigation.plan.hash,
        proposer=mitigation.proposer,
        approver=mitigation.approver or "",
        create_time=_time_message(mitigation.history[0].time),
        expire_time=_time_message(mitigation.expire_time),
        apply_time=_time_message(applied.time) if applied else None,
        verified_calibration=mitigation.verified_calibration or 0.0,
        etag=str(len(mitigation.history)),
        reason=mitigation.reason,
        approvers=[approval.actor for approval in mitigation.approvals],
        required_approvals=mitigation.required_approvals,
        escalated_to=mitigation.escalated_to,
        lease_expire_time=_time_message(lease) if lease else None,
        served_percent=mitigation.stage.percent if mitigation.stage else 0,
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


def _comparison_message(comparison: Comparison) -> shift_pb2.Comparison:
    return shift_pb2.Comparison(
        control=_window_message(comparison.control),
        anomaly=_window_message(comparison.anomaly),
        control_selection=shift_pb2.ControlSelection.Value(
            _SELECTION + comparison.control_selection
        ),
        control_note=comparison.control_note,
        verdict=shift_pb2.Verdict.Value(_VERDICT + comparison.verdict),
        feature_count=comparison.feature_count,
        significant_count=comparison.significant_count,
        shifts=[_shift_message(shift) for shift in comparison.shifts],
        history_count=comparison.history_count,
    )


def _window_message(window: Window) -> window_pb2.Window:
    calibration = window.calibration
    return window_pb2.Window(
        name=window.name,
        start_time=_time_message(window.start_time),
        end_time=_time_message(window.end_time),
        state=window_pb2.WINDOW_STATE_CLOSED,
        checkpoint_digest=window.checkpoint_digest,
        considered_count=window.considered_count,
        displayed_count=window.displayed_count,
        calibration=window_pb2.Calibration(
            ratio=calibration.ratio,
            lower=calibration.lower,
            upper=calibration.upper,
            expected=calibration.expected,
            observed=calibration.observed,
            anomalous=calibration.anomalous,
        ),
    )


def _shift_message(shift: FeatureShift) -> shift_pb2.FeatureShift:
    return shift_pb2.FeatureShift(
        feature=shift.feature,
        kind=FeatureKind.Value(_KIND + shift.kind),
        rank=shift.rank,
        shift=shift.shift,
        control_gfi=shift.control_gfi,
        anomaly_gfi=shift.anomaly_gfi,
        control_coverage=shift.control_coverage,
        anomaly_coverage=shift.anomaly_coverage,
        control_rank=shift.control_rank,
        anomaly_rank=shift.anomaly_rank,
        lower=shift.lower,
        upper=shift.upper,
        z=shift.z,
        significant=shift.significant,
        score=shift.score,
        shift_rank=shift.shift_rank,
    )


def pause_message(pause: Pause) -> pb.Pause:
    """Return the message of a pause."""
    last = pause.last
    return pb.Pause(
        paused=pause.is_on,
        actor=last.actor if last else "",
        reason=last.reason if last else "",
        time=_time_message(last.time) if last else None,
    )


def _time_message(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message
