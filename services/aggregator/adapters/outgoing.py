"""The domain's nouns as messages of the contract."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1.aggregator_service_pb2 import (
    ChooseSampleSizeResponse,
    FeatureSampleSize,
    ModelRules,
    ModelSummary,
    SampleSizeBasis,
)
from aftershock.v1.checkpoint_pb2 import Checkpoint as CheckpointMessage
from aftershock.v1.checkpoint_pb2 import Feature as FeatureMessage
from aftershock.v1.example_pb2 import FeatureKind as FeatureKindMessage
from aftershock.v1.importance_pb2 import FeatureImportance as FeatureImportanceMessage
from aftershock.v1.shift_pb2 import AlertReason as AlertReasonMessage
from aftershock.v1.shift_pb2 import Comparison as ComparisonMessage
from aftershock.v1.shift_pb2 import ControlSelection as ControlSelectionMessage
from aftershock.v1.shift_pb2 import Evidence as EvidenceMessage
from aftershock.v1.shift_pb2 import FeatureShift as FeatureShiftMessage
from aftershock.v1.shift_pb2 import RankBy as RankByMessage
from aftershock.v1.shift_pb2 import ShiftEvent as ShiftEventMessage
from aftershock.v1.shift_pb2 import Signal as SignalMessage
from aftershock.v1.shift_pb2 import Verdict as VerdictMessage
from aftershock.v1.window_pb2 import Calibration as CalibrationMessage
from aftershock.v1.window_pb2 import Window as WindowMessage
from aftershock.v1.window_pb2 import WindowState as WindowStateMessage
from services.aggregator.choose_sample_size import SampleSize
from services.aggregator.domain.calibration import Calibration
from services.aggregator.domain.checkpoint import Checkpoint, FeatureKind
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.evidence import Evidence
from services.aggregator.domain.latest import LatestWindow
from services.aggregator.domain.shift import (
    Comparison,
    FeatureImportance,
    FeatureShift,
    ShiftEvent,
)
from services.aggregator.domain.window import ModelRules as OwnRules
from services.aggregator.domain.window import ModelState, Window


def timestamp(time: datetime) -> Timestamp:
    """Return the time as a message."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def checkpoint_message(checkpoint: Checkpoint) -> CheckpointMessage:
    """Return the checkpoint as a message."""
    return CheckpointMessage(
        name=checkpoint.name,
        digest=checkpoint.digest,
        trained_until=timestamp(checkpoint.trained_until),
        features=(FeatureMessage(name=f.name, kind=_kind(f.kind)) for f in checkpoint.features),
    )


def window_message(window: Window) -> WindowMessage:
    """Return the window as a message."""
    restart = window.restart_time if isinstance(window, LatestWindow) else None
    return WindowMessage(
        name=window.name,
        start_time=timestamp(window.interval.start),
        end_time=timestamp(window.interval.end),
        state=WindowStateMessage.Value(f"WINDOW_STATE_{window.state.value}"),
        checkpoint_digest=window.digest,
        considered_count=window.considered_count,
        displayed_count=window.displayed_count,
        calibration=_calibration(window.calibration) if window.calibration else None,
        restart_time=timestamp(restart) if restart else None,
    )


def model_message(
    state: ModelState, checkpoint: Checkpoint, latest_window: Window | None
) -> ModelSummary:
    """Return what is known of a model as a message."""
    latest = state.latest_event_time
    return ModelSummary(
        name=f"models/{state.model}",
        checkpoint=checkpoint_message(checkpoint),
        latest_window=window_message(latest_window) if latest_window else None,
        block_count=state.block_count,
        duplicate_block_count=state.duplicate_count,
        refused_block_count=state.refused_count,
        latest_event_time=timestamp(latest) if latest else None,
        rules=_rules(state.rules),
    )


def importance_message(importance: FeatureImportance) -> FeatureImportanceMessage:
    """Return one feature's importance as a message."""
    return FeatureImportanceMessage(
        feature=importance.feature.name,
        kind=_kind(importance.feature.kind),
        gfi=importance.gfi,
        coverage=importance.coverage,
        standard_error=importance.standard_error,
        rank=importance.rank,
    )


def sample_size_message(chosen: SampleSize) -> ChooseSampleSizeResponse:
    """Return how many examples a window needs as a message."""
    resampled = SampleSizeBasis.SAMPLE_SIZE_BASIS_IMPORTANCES
    kept = SampleSizeBasis.SAMPLE_SIZE_BASIS_SUMMARY
    return ChooseSampleSizeResponse(
        window=window_message(chosen.window),
        sample_size=chosen.needs[0].sample_size,
        basis=resampled if chosen.is_resampled else kept,
        features=(
            FeatureSampleSize(
                feature=need.feature.name,
                sample_size=need.sample_size,
                gfi=need.gfi,
                standard_error=need.standard_error,
            )
            for need in chosen.needs
        ),
    )


def comparison_message(comparison: Comparison) -> ComparisonMessage:
    """Return the comparison as a message."""
    return ComparisonMessage(
        control=window_message(comparison.control.window),
        anomaly=window_message(comparison.anomaly),
        control_selection=_selection(comparison.control.selection),
        control_note=comparison.control.note,
        verdict=VerdictMessage.Value(f"VERDICT_{comparison.verdict.value}"),
        feature_count=comparison.feature_count,
        significant_count=comparison.significant_count,
        shifts=map(_shift, comparison.shifts),
        history_count=comparison.history_count,
        rank_by=RankByMessage.Value(f"RANK_BY_{comparison.rank_by.value}"),
    )


def event_message(event: ShiftEvent, cursor: str) -> ShiftEventMessage:
    """Return the event as a message."""
    comparison = event.comparison
    return ShiftEventMessage(
        cursor=cursor,
        model=f"models/{event.window.model}",
        window=window_message(event.window),
        comparison=comparison_message(comparison) if comparison else None,
        create_time=timestamp(event.create_time),
        alert_reason=AlertReasonMessage.Value(f"ALERT_REASON_{_alert_name(event)}"),
    )


def _rules(rules: OwnRules) -> ModelRules:
    message = ModelRules()
    if rules.allowed_lateness is not None:
        message.allowed_lateness.FromTimedelta(rules.allowed_lateness)
    if rules.retention is not None:
        message.retention.FromTimedelta(rules.retention)
    return message


def _alert_name(event: ShiftEvent) -> str:
    return event.alert.value if event.alert else "UNSPECIFIED"


def _calibration(calibration: Calibration) -> CalibrationMessage:
    return CalibrationMessage(
        ratio=calibration.ratio,
        lower=calibration.lower,
        upper=calibration.upper,
        expected=calibration.expected,
        observed=calibration.observed,
        anomalous=calibration.anomalous,
    )


def _shift(shift: FeatureShift) -> FeatureShiftMessage:
    return FeatureShiftMessage(
        feature=shift.feature.name,
        kind=_kind(shift.feature.kind),
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
        evidence=map(_evidence, shift.evidence),
        shift_rank=shift.shift_rank,
    )


def _evidence(evidence: Evidence) -> EvidenceMessage:
    return EvidenceMessage(
        signal=SignalMessage.Value(f"SIGNAL_{evidence.signal.value}"),
        change=evidence.change,
        noise=evidence.noise,
        strength=evidence.strength,
    )


def _kind(kind: FeatureKind) -> FeatureKindMessage.ValueType:
    return FeatureKindMessage.Value(f"FEATURE_KIND_{kind.value}")


def _selection(selection: ControlSelection | None) -> ControlSelectionMessage.ValueType:
    name = selection.value if selection else "UNSPECIFIED"
    return ControlSelectionMessage.Value(f"CONTROL_SELECTION_{name}")
