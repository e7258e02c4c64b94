"""Numbers and times as people compare them."""

from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1.incident_pb2 import Mitigation, MitigationKind, Preview, SuspectLabel
from clients.chatbot.core.text import Line, name_of, quote, say, strong

FEW = 5
_ACTS = {
    MitigationKind.MITIGATION_KIND_ID_MASK: "serve ",
    MitigationKind.MITIGATION_KIND_ROW_QUARANTINE: "leave out of training: ",
    MitigationKind.MITIGATION_KIND_ROW_REBALANCE: "weigh in training: ",
}


def number(value: float) -> str:
    """Return three significant digits, without an exponent where it can be avoided."""
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:,.{_decimals(value)}f}"
    return f"{value:.2e}"


def _decimals(value: float) -> int:
    magnitude = abs(value)
    if magnitude == 0 or magnitude >= 100:
        return 0
    steps = (10.0, 1.0, 0.1, 0.01, 0.001)
    return next((places for places, least in enumerate(steps, 1) if magnitude >= least), 6)


def signed(value: float) -> str:
    """Return a change."""
    return ("+" if value > 0 else "") + number(value)


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{share * 100:.0f} %"


def ratio(value: float) -> str:
    """Return a calibration."""
    return f"{value:.2f}"


def between(lower: float, upper: float) -> str:
    """Return an interval of a calibration."""
    return f"{lower:.2f} to {upper:.2f}"


def clock(stamp: Timestamp) -> str:
    """Return a time of the day, with its day."""
    return f"{stamp.ToDatetime(UTC):%d %b %H:%M} UTC"


def count(amount: int, noun: str) -> str:
    """Return how many of something, in the singular where it is one."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def names(features: list[str]) -> Line:
    """Return the first few names, and how many more there are."""
    shown = features[:FEW]
    spans = [span for name in shown for span in (say(", "), name_of(name))][1:]
    if more := len(features) - len(shown):
        spans.append(say(f" and {more} more"))
    return tuple(spans)


def act(mitigation: Mitigation) -> Line:
    """Return what a mitigation does."""
    if mitigation.labels:
        return _about_labels(mitigation)
    if mitigation.features:
        features = list(mitigation.features)
        said = strong(f"switch off {count(len(features), 'feature')}")
        return (said, say(": "), *names(features))
    return (
        strong("serve checkpoint "),
        name_of(mitigation.checkpoint),
        say(" instead of "),
        name_of(mitigation.replaced_checkpoint),
    )


def _about_labels(mitigation: Mitigation) -> Line:
    """Return what is done about labels that audits found."""
    some = list(mitigation.labels)[:FEW]
    spans = [span for each in some for span in (say("; "), *_about(mitigation.kind, each))][1:]
    if more := len(mitigation.labels) - len(some):
        spans.append(say(f" and {more} more"))
    return (strong(_ACTS.get(mitigation.kind, "act on ")), *spans)


def _about(kind: MitigationKind.ValueType, label: SuspectLabel) -> Line:
    if kind == MitigationKind.MITIGATION_KIND_ID_MASK:
        return (name_of(label.feature), say(" without id "), name_of(label.label))
    rows = (say("rows of "), name_of(label.node), say(" with label "), name_of(label.label))
    outcome = (say(" and outcome "), name_of(label.outcome))
    if kind == MitigationKind.MITIGATION_KIND_ROW_QUARANTINE:
        return (*rows, *outcome)
    told = f" with {percent(label.target_share)} of them instead of {percent(label.share)}"
    return (*rows, *outcome, say(told))


def preview(known: Preview, now: float) -> Line:
    """Return what calibration would become, beside doing nothing; `now`: 0 where nothing broke."""
    if known.missing_reason:
        return (say("No preview: "), quote(known.missing_reason))
    if not now:
        return (
            say("Preview: calibration "),
            strong(ratio(known.calibration)),
            say(f" ({between(known.lower, known.upper)})."),
        )
    return (
        say("Preview: calibration "),
        strong(f"{ratio(now)} → {ratio(known.calibration)}"),
        say(f" ({between(known.lower, known.upper)}). Doing nothing: {ratio(now)}."),
    )
