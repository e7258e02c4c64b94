"""What broke, as far as an incident's evidence tells, and what to look at."""

from collections.abc import Collection, Sequence
from enum import StrEnum

from services.runbook.domain.evidence import Comparison, Verdict

_MANY = 0.5
"""Share of a model's features that shift together when not one of them, but the model, changed."""
_CULPRIT_SHARE = 0.3
"""Of the largest shift: one broken feature drags others along a little."""


class IncidentVerdict(StrEnum):
    """What broke."""

    FEATURE_CORRUPTION = "FEATURE_CORRUPTION"
    """Some features shifted beyond their noise."""
    CHECKPOINT_REGRESSION = "CHECKPOINT_REGRESSION"
    """A new checkpoint: many features shifted, or nothing was ever healthy under it."""
    LABEL_OR_CONCEPT_DRIFT = "LABEL_OR_CONCEPT_DRIFT"
    """Calibration is out and no feature explains it."""
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
    """Too few examples, or no window to compare with."""
    NATURAL_TRIGGER = "NATURAL_TRIGGER"
    """Calibration is healthy, and an audit found labels that could hijack the model."""


MITIGABLE = frozenset({IncidentVerdict.FEATURE_CORRUPTION, IncidentVerdict.CHECKPOINT_REGRESSION})
"""The verdicts that may lead to a mitigation of features or checkpoints."""

_ADVICE = {
    IncidentVerdict.FEATURE_CORRUPTION: "Most likely: {suspects}. Waiting for a policy's proposal.",
    IncidentVerdict.CHECKPOINT_REGRESSION: (
        "Most likely the new checkpoint: look at what it was trained on, and serve the one before."
    ),
    IncidentVerdict.LABEL_OR_CONCEPT_DRIFT: (
        "No feature explains it: look at the labels, at how outcomes are joined, and at what "
        "changed in the world or in the model's traffic."
    ),
    IncidentVerdict.INSUFFICIENT_DATA: (
        "Too few examples to tell: wait for the next window, or look at the log's volume."
    ),
    IncidentVerdict.NATURAL_TRIGGER: (
        "Calibration is healthy, but audits found labels in what feeds the model that could hijack "
        "it: look at where their rows come from, and audit the next snapshot. No policy acts on "
        "it. This needs a person."
    ),
}
_NO_CONTROL = (
    "No healthy control window to compare with: look at what changed upstream, or compare two "
    "windows by hand."
)


def diagnose(comparison: Comparison | None, *, new_checkpoint: bool) -> IncidentVerdict:
    """Return the verdict.

    Args:
        comparison: of the anomalous window with a healthy one of the same checkpoint, if there is.
        new_checkpoint: calibration broke soon after the model began to score with its checkpoint.
    """
    if comparison is None:
        # Every window under it is anomalous, or else there would be one to compare with.
        regressed, unknown = (
            IncidentVerdict.CHECKPOINT_REGRESSION,
            IncidentVerdict.INSUFFICIENT_DATA,
        )
        return regressed if new_checkpoint else unknown
    if comparison.verdict is Verdict.INSUFFICIENT_DATA:
        return IncidentVerdict.INSUFFICIENT_DATA
    if comparison.verdict is Verdict.NO_FEATURE_EXPLAINS:
        return IncidentVerdict.LABEL_OR_CONCEPT_DRIFT
    if new_checkpoint and comparison.significant_count >= _MANY * comparison.feature_count:
        return IncidentVerdict.CHECKPOINT_REGRESSION
    return IncidentVerdict.FEATURE_CORRUPTION


def advice_on(verdict: IncidentVerdict, comparison: Comparison | None) -> str:
    """Say what to look at before there is a proposal."""
    if comparison is None and verdict is IncidentVerdict.INSUFFICIENT_DATA:
        return _NO_CONTROL
    return _ADVICE[verdict].format(suspects=_suspects(comparison))


def culprits(
    comparison: Comparison | None, killed: Collection[str] = frozenset()
) -> frozenset[str]:
    """Return the features that stand out: significant, and not much below the largest shift.

    Those that are switched off shifted by our own doing, and are left out.
    """
    compared = comparison.shifts if comparison else ()
    shifts = [s for s in compared if s.significant and s.feature not in killed]
    top = max((abs(s.shift) for s in shifts), default=0.0)
    return frozenset(s.feature for s in shifts if abs(s.shift) >= _CULPRIT_SHARE * top)


def _suspects(comparison: Comparison | None) -> str:
    shifts = comparison.shifts if comparison else ()
    names: Sequence[str] = [shift.feature for shift in shifts if shift.significant][:3]
    return ", ".join(names) or "unknown"
