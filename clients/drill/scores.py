"""How each method of ranking scores the features, read off a comparison of the aggregator's.

A comparison carries every signal of every feature, so that one call tells what each order would
have been: by evidence (the default), by the paper's GFI shift, and by each signal alone, raw or
divided by the feature's own history.
"""

from collections.abc import Mapping, Sequence

from aftershock.v1.shift_pb2 import Comparison, FeatureShift, RankBy, Signal

Scores = Mapping[str, float]
"""One number a feature; the largest is the first suspect, 0 is none."""

BY_HISTORY = " / history"
"""Ends the name of a method that divides by what a feature does between healthy windows."""
EVIDENCE, GFI = "evidence", "GFI shift"
PSI = "PSI"
"""The population stability index, which no comparison carries: what a drift detector would say."""
MFC = "MFC shift"
GFI_HISTORY = GFI + BY_HISTORY
COMPARED = (EVIDENCE, GFI, MFC, PSI)
"""Ours, the paper's, the cheap baseline, and what a drift detector does."""
_SIGNALS = {
    MFC: Signal.SIGNAL_MFC_SHIFT,
    "LFI distance": Signal.SIGNAL_LFI_DISTANCE,
    "coverage": Signal.SIGNAL_COVERAGE_CHANGE,
    "value distance": Signal.SIGNAL_VALUE_DISTANCE,
}


def scores_of(comparison: Comparison) -> dict[str, Scores]:
    """The scores by method, of the methods that this aggregator knows."""
    shifts = comparison.shifts
    found: dict[str, Scores] = {}
    if comparison.rank_by != RankBy.RANK_BY_UNSPECIFIED:
        found[EVIDENCE] = {shift.feature: shift.score for shift in shifts}
    found[GFI] = {shift.feature: abs(shift.shift) for shift in shifts}
    found[GFI_HISTORY] = {shift.feature: abs(shift.z) for shift in shifts}
    for name, signal in _SIGNALS.items():
        found |= _of_signal(name, signal, shifts)
    return found


def ranked(scores: Scores) -> list[str]:
    """The suspects, the first first; what scores nothing is none."""
    suspects = [feature for feature, score in scores.items() if score > 0]
    return sorted(suspects, key=lambda feature: (-scores[feature], feature))


def _of_signal(
    name: str, signal: Signal.ValueType, shifts: Sequence[FeatureShift]
) -> dict[str, Scores]:
    changes = dict.fromkeys((shift.feature for shift in shifts), 0.0)
    strengths, known = dict(changes), False
    for shift in shifts:
        for evidence in shift.evidence:
            if evidence.signal == signal:
                changes[shift.feature] = abs(evidence.change)
                strengths[shift.feature] = evidence.strength
                known = True
    return {name: changes, name + BY_HISTORY: strengths} if known else {}
