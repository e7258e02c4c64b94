"""Windows, calibrations and shifts, between the contract's messages and the domain's nouns."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import shift_pb2, window_pb2
from aftershock.v1.example_pb2 import FeatureKind
from services.runbook.domain.evidence import (
    Calibration,
    Comparison,
    Evidence,
    FeatureShift,
    ShiftEvent,
    Verdict,
    Window,
)

_VERDICT = "VERDICT_"
_KIND = "FEATURE_KIND_"
_SELECTION = "CONTROL_SELECTION_"
_RANK_BY = "RANK_BY_"
_SIGNAL = "SIGNAL_"


def event_from(message: shift_pb2.ShiftEvent) -> ShiftEvent:
    """Return the event.

    Raises:
        ValueError: it lacks a window, a calibration or a verdict.
    """
    comparison = comparison_from(message.comparison) if message.HasField("comparison") else None
    return ShiftEvent(message.cursor, message.model, window_from(message.window), comparison)


def window_from(message: window_pb2.Window) -> Window:
    """Return the window. Raises ValueError where it has no name or no calibration."""
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
        control=window_from(message.control),
        anomaly=window_from(message.anomaly),
        control_selection=shift_pb2.ControlSelection.Name(message.control_selection).removeprefix(
            _SELECTION
        ),
        control_note=message.control_note,
        verdict=Verdict(shift_pb2.Verdict.Name(message.verdict).removeprefix(_VERDICT)),
        feature_count=message.feature_count,
        significant_count=message.significant_count,
        shifts=tuple(_shift_from(shift) for shift in message.shifts),
        history_count=message.history_count,
        rank_by=shift_pb2.RankBy.Name(message.rank_by).removeprefix(_RANK_BY),
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
        evidence=tuple(
            Evidence(
                signal=shift_pb2.Signal.Name(each.signal).removeprefix(_SIGNAL),
                change=each.change,
                noise=each.noise,
                strength=each.strength,
            )
            for each in message.evidence
        ),
    )


def _time_from(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def comparison_message(comparison: Comparison) -> shift_pb2.Comparison:
    """Return the message of a comparison."""
    return shift_pb2.Comparison(
        control=window_message(comparison.control),
        anomaly=window_message(comparison.anomaly),
        control_selection=shift_pb2.ControlSelection.Value(
            _SELECTION + comparison.control_selection
        ),
        control_note=comparison.control_note,
        verdict=shift_pb2.Verdict.Value(_VERDICT + comparison.verdict),
        feature_count=comparison.feature_count,
        significant_count=comparison.significant_count,
        shifts=[_shift_message(shift) for shift in comparison.shifts],
        history_count=comparison.history_count,
        rank_by=shift_pb2.RankBy.Value(_RANK_BY + comparison.rank_by),
    )


def window_message(window: Window) -> window_pb2.Window:
    """Return the message of a window, which is closed."""
    calibration = window.calibration
    return window_pb2.Window(
        name=window.name,
        start_time=time_message(window.start_time),
        end_time=time_message(window.end_time),
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
        evidence=[
            shift_pb2.Evidence(
                signal=shift_pb2.Signal.Value(_SIGNAL + each.signal),
                change=each.change,
                noise=each.noise,
                strength=each.strength,
            )
            for each in shift.evidence
        ],
    )


def time_message(time: datetime) -> Timestamp:
    """Return the message of a time."""
    message = Timestamp()
    message.FromDatetime(time)
    return message
