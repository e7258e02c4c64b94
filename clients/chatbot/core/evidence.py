"""What broke: which features shifted, and by how much."""

from aftershock.v1.incident_pb2 import Incident, IncidentVerdict
from aftershock.v1.lineage_pb2 import FindingDetails
from aftershock.v1.shift_pb2 import FeatureShift, Signal
from aftershock.v1.window_pb2 import Calibration, Window
from clients.chatbot.core import words
from clients.chatbot.core.card import Section, section
from clients.chatbot.core.text import NAME_LENGTH, Line, clean, name_of, quote, say, strong

MOST_SUSPECTS = 3
_CONTRIBUTORS = 30
_MOST_CULPRITS, _NEAR = 5, 0.3
_LOUD, _MOST_SIGNALS = 2.0, 2
_SIGNALS = {
    Signal.SIGNAL_GFI_SHIFT: "GFI",
    Signal.SIGNAL_LFI_DISTANCE: "LFIs",
    Signal.SIGNAL_COVERAGE_CHANGE: "coverage",
    Signal.SIGNAL_VALUE_DISTANCE: "values",
    Signal.SIGNAL_MFC_SHIFT: "MFC",
}
_VERDICTS = {
    IncidentVerdict.INCIDENT_VERDICT_FEATURE_CORRUPTION: "some features shifted beyond their noise",
    IncidentVerdict.INCIDENT_VERDICT_CHECKPOINT_REGRESSION: "it began with a new checkpoint",
    IncidentVerdict.INCIDENT_VERDICT_LABEL_OR_CONCEPT_DRIFT: (
        "no feature explains it: labels, the join of outcomes, or the world"
    ),
    IncidentVerdict.INCIDENT_VERDICT_INSUFFICIENT_DATA: "too little data to tell what broke",
    IncidentVerdict.INCIDENT_VERDICT_NATURAL_TRIGGER: (
        "an audit found labels in what feeds the model that could hijack it"
    ),
}


def model_of(incident: Incident) -> str:
    """Return the model's id, harmless."""
    return clean(incident.model.removeprefix("models/"), 64)


def broken_window(incident: Incident) -> Window:
    """Return the window that stands for the incident; an empty one if there is none."""
    if incident.HasField("comparison"):
        return incident.comparison.anomaly
    anomalous = [window for window in incident.windows if window.calibration.anomalous]
    return anomalous[-1] if anomalous else Window()


def newest_window(incident: Incident) -> Window:
    """Return the newest window with known outcomes since the incident opened."""
    return incident.windows[-1] if incident.windows else broken_window(incident)


def direction(calibration: Calibration) -> str:
    """Return which way predictions are off."""
    return "over-predicts" if calibration.ratio > 1 else "under-predicts"


def situation(incident: Incident) -> Section:
    """Return calibration before and now, since when, and the verdict."""
    if is_on_findings(incident):
        return section((say("Calibration is healthy. "), *_verdict(incident)))
    return section(_calibration(incident), _verdict(incident))


def is_on_findings(incident: Incident) -> bool:
    """Whether calibration is healthy, and what audits found is why there is an incident."""
    return incident.verdict == IncidentVerdict.INCIDENT_VERDICT_NATURAL_TRIGGER


def found(incident: Incident) -> str:
    """Return the worst label that audits found, harmless."""
    more = len(incident.findings) - 1
    label = clean(incident.findings[0].label, NAME_LENGTH) if incident.findings else "a label"
    return f"label {label}" + (f" and {more} more" if more > 0 else "")


def findings(incident: Incident) -> Section:
    """Return what audits found, the most severe first."""
    return section(*(_finding(each) for each in incident.findings[:MOST_SUSPECTS]))


def _finding(finding: FindingDetails) -> Line:
    spans = [say("An audit of "), name_of(finding.node), say(" found label ")]
    spans += [name_of(finding.label), say(f" · severity {words.number(finding.severity)}")]
    if finding.HasField("lean"):
        lean = finding.lean
        shares = f"{words.percent(lean.expected_share)} → {words.percent(lean.share)}"
        spans += [say(" · outcome "), name_of(lean.outcome), say(f" {shares} (z {lean.z:.0f})")]
    if finding.HasField("flips"):
        flips = finding.flips
        most = flips.flipped_up if flips.to_class else max(flips.flipped_up, flips.flipped_down)
        tested = words.count(flips.example_count, "prediction")
        spans.append(say(f" · flips {most:,} of {tested}"))
        spans += [say(" to "), name_of(flips.to_class)] if flips.to_class else []
    return tuple(spans)


def _calibration(incident: Incident) -> Line:
    control, broken = incident.comparison.control, broken_window(incident)
    spans = [say("Calibration "), strong(words.ratio(broken.calibration.ratio))]
    spans.append(say(f" ({words.between(broken.calibration.lower, broken.calibration.upper)})"))
    if control.HasField("calibration"):
        before = control.calibration
        interval = words.between(before.lower, before.upper)
        spans.append(say(f"; before: {words.ratio(before.ratio)} ({interval})"))
    anomalies = [window for window in incident.windows if window.calibration.anomalous]
    since = anomalies[0].start_time if anomalies else broken.start_time
    spans.append(say(f". Since {words.clock(since)}"))
    if anomalies:
        spans.append(say(f", {words.count(len(anomalies), 'anomalous window')}"))
    return (*spans, say("."))


def _verdict(incident: Incident) -> Line:
    said = _VERDICTS.get(incident.verdict)
    return (say("Verdict: "), strong(said), say(".")) if said else ()


def culprits(incident: Incident) -> list[FeatureShift]:
    """Return the significant shifts that come near the largest, as the runbook counts culprits."""
    loud = [shift for shift in incident.comparison.shifts if shift.significant]
    most = max((abs(shift.shift) for shift in loud), default=0.0)
    return [shift for shift in loud if abs(shift.shift) >= _NEAR * most][:_MOST_CULPRITS]


def suspects(incident: Incident) -> Section:
    """Return the features that shifted most, and how many are quiet."""
    comparison = incident.comparison
    loud = [shift for shift in comparison.shifts if shift.significant]
    if not loud:
        return section()
    first, *others = loud[:MOST_SUSPECTS]
    lines = [(strong("Most likely: "), *_suspect(first))]
    lines += [(say("Next: "), *_suspect(shift)) for shift in others]
    quiet = comparison.feature_count - comparison.significant_count
    rest = comparison.significant_count - len(loud[:MOST_SUSPECTS])
    also = f"{words.count(rest, 'more feature')} shifted; " if rest > 0 else ""
    return section(*lines, (say(f"{also}{words.count(quiet, 'feature')} quiet."),))


def _suspect(shift: FeatureShift) -> Line:
    return (
        name_of(shift.feature),
        say(
            f" · GFI {words.number(shift.control_gfi)} → {words.number(shift.anomaly_gfi)}"
            f" (rank {shift.control_rank} → {shift.anomaly_rank})"
            f" · shift {words.signed(shift.shift)}"
            f" ({words.number(shift.lower)} to {words.number(shift.upper)})"
            f" · coverage {words.percent(shift.control_coverage)}"
            f" → {words.percent(shift.anomaly_coverage)}{_signals(shift)}"
        ),
    )


def _signals(shift: FeatureShift) -> str:
    """Return which signals speak loudest for a feature, in what is usual for it."""
    loud = [each for each in shift.evidence if each.strength >= _LOUD][:_MOST_SIGNALS]
    said = ", ".join(f"{_SIGNALS[each.signal]} {each.strength:.0f} x" for each in loud)
    return f" · beyond its noise: {said}" if said else ""


def details(incident: Incident) -> tuple[Section, ...]:
    """Return everything that stands behind the message, for one reader."""
    comparison = incident.comparison
    ranked = [
        (say(f"{shift.rank}. "), *_suspect(shift), say("" if shift.significant else " · quiet"))
        for shift in comparison.shifts[:_CONTRIBUTORS]
    ]
    windows = section(
        (say("Anomaly: "), quote(comparison.anomaly.name)) if comparison.anomaly.name else (),
        (say("Control: "), quote(comparison.control.name)) if comparison.control.name else (),
        (say("Checkpoint: "), quote(comparison.anomaly.checkpoint_digest[:12]))
        if comparison.anomaly.checkpoint_digest
        else (),
        (say("Shift = GFI(anomaly) - GFI(control); GFI = coverage x median of non-zero |LFI|."),),
    )
    return (windows, section(*ranked), alternatives(incident))


def alternatives(incident: Incident) -> Section:
    """Return what calibration would be with other features switched off."""
    if not incident.mitigations:
        return section()
    others = incident.mitigations[-1].preview.alternatives
    return section(
        *(
            (
                say("With "),
                *(words.names(list(other.features)) or (say("nothing"),)),
                say(
                    f" off: calibration {words.ratio(other.calibration)}"
                    f" ({words.between(other.lower, other.upper)})"
                ),
            )
            for other in others
        )
    )
