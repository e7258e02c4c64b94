"""Events as bytes: the contract's own message, which consumers of the stream can read as well."""

from datetime import UTC

from aftershock.v1 import shift_pb2, window_pb2
from aftershock.v1.example_pb2 import FeatureKind as FeatureKindMessage
from services.aggregator.adapters.incoming import model_of
from services.aggregator.adapters.outgoing import event_message
from services.aggregator.domain.calibration import Calibration
from services.aggregator.domain.checkpoint import Feature, FeatureKind
from services.aggregator.domain.control import Control, ControlSelection
from services.aggregator.domain.evidence import Evidence
from services.aggregator.domain.shift import (
    AlertReason,
    Comparison,
    FeatureShift,
    RankBy,
    ShiftEvent,
)
from services.aggregator.domain.signals import Signal
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Interval, Window, WindowState


def pack_event(event: ShiftEvent) -> bytes:
    """Return the event as a ShiftEvent message without its cursor, which comes of storing it."""
    return event_message(event, cursor="").SerializeToString()


def unpack_event(payload: bytes) -> ShiftEvent:
    """Return the event of a packed message."""
    message = shift_pb2.ShiftEvent.FromString(payload)
    return ShiftEvent(
        window=_window(message.window),
        comparison=_comparison(message.comparison) if message.HasField("comparison") else None,
        create_time=message.create_time.ToDatetime(tzinfo=UTC),
        alert=_alert(message),
    )


def _alert(message: shift_pb2.ShiftEvent) -> AlertReason | None:
    name = _name(shift_pb2.AlertReason.Name(message.alert_reason), "ALERT_REASON_")
    if name in AlertReason.__members__:
        return AlertReason[name]
    # Events of before reasons were told were raised by calibration alone.
    return AlertReason.CALIBRATION if message.window.calibration.anomalous else None


def _window(message: window_pb2.Window) -> Window:
    start, end = (time.ToDatetime(tzinfo=UTC) for time in (message.start_time, message.end_time))
    return Window(
        model=model_of(message.name),
        interval=Interval(start, end),
        state=WindowState[_name(window_pb2.WindowState.Name(message.state), "WINDOW_STATE_")],
        digest=message.checkpoint_digest,
        method=None,
        considered_count=message.considered_count,
        displayed_count=message.displayed_count,
        calibration=_calibration(message.calibration) if message.HasField("calibration") else None,
    )


def _calibration(message: window_pb2.Calibration) -> Calibration:
    return Calibration(
        ratio=message.ratio,
        lower=message.lower,
        upper=message.upper,
        expected=message.expected,
        observed=message.observed,
        anomalous=message.anomalous,
    )


def _comparison(message: shift_pb2.Comparison) -> Comparison:
    selection = _name(
        shift_pb2.ControlSelection.Name(message.control_selection), "CONTROL_SELECTION_"
    )
    known = selection in ControlSelection.__members__
    return Comparison(
        control=Control(
            window=_window(message.control),
            selection=ControlSelection[selection] if known else None,
            note=message.control_note,
        ),
        anomaly=_window(message.anomaly),
        verdict=Verdict[_name(shift_pb2.Verdict.Name(message.verdict), "VERDICT_")],
        feature_count=message.feature_count,
        significant_count=message.significant_count,
        shifts=[_shift(shift) for shift in message.shifts],
        history_count=message.history_count,
        rank_by=_rank_by(message),
    )


def _shift(message: shift_pb2.FeatureShift) -> FeatureShift:
    kind = FeatureKind[_name(FeatureKindMessage.Name(message.kind), "FEATURE_KIND_")]
    return FeatureShift(
        feature=Feature(message.feature, kind),
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
        evidence=[_evidence(evidence) for evidence in message.evidence],
        shift_rank=message.shift_rank,
    )


def _rank_by(message: shift_pb2.Comparison) -> RankBy:
    name = _name(shift_pb2.RankBy.Name(message.rank_by), "RANK_BY_")
    return RankBy[name] if name in RankBy.__members__ else RankBy.GFI_SHIFT


def _evidence(message: shift_pb2.Evidence) -> Evidence:
    return Evidence(
        signal=Signal[_name(shift_pb2.Signal.Name(message.signal), "SIGNAL_")],
        change=message.change,
        noise=message.noise,
        strength=message.strength,
    )


def _name(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)
