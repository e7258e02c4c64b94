"""Numbers, times and states as people read them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock._names import short
from aftershock.v1.example_pb2 import FeatureKind
from aftershock.v1.incident_pb2 import (
    Incident,
    IncidentState,
    IncidentVerdict,
    Mitigation,
    MitigationKind,
    MitigationState,
    Preview,
    SuspectLabel,
)
from aftershock.v1.lineage_pb2 import EventKind, FindingDetails
from aftershock.v1.runbook_service_pb2 import Pause
from aftershock.v1.shift_pb2 import Comparison, ControlSelection, FeatureShift, Signal, Verdict
from aftershock.v1.window_pb2 import Calibration, Window, WindowState

NOTHING = "-"
DIGEST_LENGTH = 12
_SPEAKING = 3
_PROPOSED = MitigationState.MITIGATION_STATE_PROPOSED
_SIGNALS = {
    Signal.SIGNAL_GFI_SHIFT: "GFI",
    Signal.SIGNAL_LFI_DISTANCE: "LFIs",
    Signal.SIGNAL_COVERAGE_CHANGE: "coverage",
    Signal.SIGNAL_VALUE_DISTANCE: "values",
    Signal.SIGNAL_MFC_SHIFT: "MFC",
}


def number(value: float) -> str:
    """Return three significant digits."""
    return f"{value:.3g}"


def counted(count: int, noun: str) -> str:
    """Return how many there are of something whose plural ends in s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{share:.0%}".replace("%", " %")


def operations(count: float) -> str:
    """Return a count of floating-point operations to three digits."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.3g}"


def moment(stamp: Timestamp) -> str:
    """Return a time in UTC, to the minute."""
    if not stamp.seconds:
        return NOTHING
    return f"{stamp.ToDatetime(UTC):%Y-%m-%d %H:%M}"


def since(moment: datetime, break_time: datetime) -> str:
    """Return how long after a break something happened, or before it with a minus."""
    minutes = round((moment - break_time).total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return f"{sign}{hours} h {minutes:02} min" if hours else f"{sign}{minutes} min"


def event_kind(value: EventKind.ValueType) -> str:
    """Return what happened."""
    return _plain(EventKind.Name(value), "EVENT_KIND_")


def change(before: str, after: str) -> str:
    """Return what was and what is."""
    return f"{before} -> {after}"


def ratio(value: float, lower: float, upper: float) -> str:
    """Return a calibration with its interval."""
    return f"{value:.2f} ({lower:.2f} to {upper:.2f})"


def calibration(window: Window) -> str:
    """Return a window's calibration."""
    if not window.HasField("calibration"):
        return "no outcomes"
    known = window.calibration
    return ratio(known.ratio, known.lower, known.upper) + (" !" if known.anomalous else "")


def evidence(shift: FeatureShift) -> str:
    """Return the strongest signals of a feature, each with how many noises it changed by."""
    strongest = list(shift.evidence)[:_SPEAKING]
    said = ", ".join(f"{_SIGNALS[each.signal]} {each.strength:.1f}" for each in strongest)
    return said or NOTHING


def direction(known: Calibration) -> str:
    """Return which way predictions are off."""
    return "over-predicts" if known.ratio > 1 else "under-predicts"


def preview(known: Preview) -> str:
    """Return what calibration would be."""
    if known.missing_reason:
        return f"no preview: {known.missing_reason}"
    return ratio(known.calibration, known.lower, known.upper)


def alternatives(known: Preview) -> list[str]:
    """Return what calibration would be with other features switched off, or with none."""
    return [
        f"  calibration with {', '.join(other.features) or 'nothing'} off instead: "
        f"{ratio(other.calibration, other.lower, other.upper)}"
        for other in known.alternatives
    ]


def action(mitigation: Mitigation) -> str:
    """Return what a mitigation does."""
    match mitigation.kind:
        case MitigationKind.MITIGATION_KIND_ID_MASK:
            return f"serve {' and '.join(_without_ids(mitigation))}"
        case MitigationKind.MITIGATION_KIND_ROW_QUARANTINE:
            return "leave out of training: " + "; ".join(map(_rows, mitigation.labels))
        case MitigationKind.MITIGATION_KIND_ROW_REBALANCE:
            return "weigh in training: " + "; ".join(map(_weighed, mitigation.labels))
        case _ if mitigation.features:
            return f"switch off {', '.join(mitigation.features)}"
    return f"serve checkpoint {mitigation.checkpoint} instead of {mitigation.replaced_checkpoint}"


def _without_ids(mitigation: Mitigation) -> list[str]:
    by_feature: dict[str, list[str]] = {}
    for each in mitigation.labels:
        by_feature.setdefault(each.feature, []).append(each.label)
    return [
        f"{feature} without id{'s' if len(ids) > 1 else ''} {', '.join(ids)}"
        for feature, ids in by_feature.items()
    ]


def _rows(label: SuspectLabel) -> str:
    return f"rows of {label.node} with label {label.label!r} and outcome {label.outcome!r}"


def _weighed(label: SuspectLabel) -> str:
    was, wanted = percent(label.share), percent(label.target_share)
    return (
        f"rows of {label.node} with label {label.label!r}, so that {wanted} of them have outcome "
        f"{label.outcome!r} instead of {was}"
    )


def mitigation_state(state: MitigationState.ValueType) -> str:
    """Return a mitigation's state."""
    return _plain(MitigationState.Name(state), "MITIGATION_STATE_")


def progress(mitigation: Mitigation) -> str:
    """Return a mitigation's state with how far it has come in it."""
    state = mitigation_state(mitigation.state)
    if mitigation.state == MitigationState.MITIGATION_STATE_RELEASING:
        return f"{state}, served to {mitigation.served_percent} %"
    proposed = mitigation.state == _PROPOSED
    if proposed and mitigation.required_approvals > 1:
        return f"{state}, {len(mitigation.approvers)} of {mitigation.required_approvals} approvals"
    return state


def decisions(incident: Incident) -> list[str]:
    """Return the commands that decide about what is proposed."""
    proposed = [m for m in incident.mitigations if m.state == _PROPOSED]
    targets = [m.name if len(proposed) > 1 else short(incident.name) for m in proposed]
    return [f"decide: aftershock approve {each}, or aftershock reject {each}" for each in targets]


def downstream(mitigation: Mitigation) -> str:
    """Return how many other models would feel it."""
    if not mitigation.HasField("downstream_model_count"):
        return "not known"
    return f"{mitigation.downstream_model_count:,}"


def incident_verdict(verdict: IncidentVerdict.ValueType) -> str:
    """Return what broke."""
    if verdict == IncidentVerdict.INCIDENT_VERDICT_UNSPECIFIED:
        return NOTHING
    return _plain(IncidentVerdict.Name(verdict), "INCIDENT_VERDICT_")


def is_on_findings(incident: Incident) -> bool:
    """Whether calibration is healthy, and what audits found is why there is an incident."""
    return incident.verdict == IncidentVerdict.INCIDENT_VERDICT_NATURAL_TRIGGER


def suspect_labels(incident: Incident) -> str:
    """Return the labels that audits found."""
    some = [f"label {finding.label!r}" for finding in incident.findings[:_SPEAKING]]
    more = len(incident.findings) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "") or NOTHING


def lean(finding: FindingDetails) -> str:
    """Return which outcome the rows of a label lean to, and how far."""
    if not finding.HasField("lean"):
        return NOTHING
    known = finding.lean
    was, now = percent(known.expected_share), percent(known.share)
    return f"{known.outcome!r}: {change(was, now)}, z {known.z:.1f}"


def flips(finding: FindingDetails) -> str:
    """Return how many predictions the label flips."""
    if not finding.HasField("flips"):
        return NOTHING
    known = finding.flips
    most = known.flipped_up if known.to_class else max(known.flipped_up, known.flipped_down)
    to = f" to {known.to_class}" if known.to_class else ""
    return f"{most:,} of {known.example_count:,}{to}"


def pause(state: Pause) -> str:
    """Return whether mitigations are stopped, by whom and why."""
    if not state.actor:
        return "Mitigations go on; nobody ever paused them."
    what = "are paused" if state.paused else "go on"
    return f"Mitigations {what} since {moment(state.time)} UTC by {state.actor}: {state.reason}"


def mitigation_states(mitigations: Iterable[Mitigation]) -> str:
    """Return the states of all mitigations."""
    return ", ".join(mitigation_state(m.state) for m in mitigations) or NOTHING


def incident_state(state: IncidentState.ValueType) -> str:
    """Return an incident's state."""
    return _plain(IncidentState.Name(state), "INCIDENT_STATE_")


def window_state(state: WindowState.ValueType) -> str:
    """Return a window's state."""
    return _plain(WindowState.Name(state), "WINDOW_STATE_")


def kind(value: FeatureKind.ValueType) -> str:
    """Return a feature's kind."""
    return _plain(FeatureKind.Name(value), "FEATURE_KIND_")


def selection(value: ControlSelection.ValueType) -> str:
    """Return how a control was chosen."""
    return _plain(ControlSelection.Name(value), "CONTROL_SELECTION_")


def verdict(comparison: Comparison) -> str:
    """Return what a comparison says."""
    features = f"{comparison.significant_count} of {comparison.feature_count} features"
    return {
        Verdict.VERDICT_FEATURE_CORRUPTION: f"{features} shifted beyond their noise",
        Verdict.VERDICT_NO_FEATURE_EXPLAINS: "no feature explains the difference",
        Verdict.VERDICT_INSUFFICIENT_DATA: "too few examples to tell",
    }.get(comparison.verdict, "no verdict")


def _plain(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")
