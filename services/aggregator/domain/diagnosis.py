"""Which feature broke between two windows, by all that is known of both and of the past."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.evidence import Findings, Judge, floors_of
from services.aggregator.domain.gallery import Gallery
from services.aggregator.domain.history import Measured, historical_noise
from services.aggregator.domain.past import FEWEST_CHANGES, Pair, Past, Plan
from services.aggregator.domain.portrait import Frame, portrait_of
from services.aggregator.domain.ranking import Judgement, Ranking, Shifts, scores_of, shifts_of
from services.aggregator.domain.shift import RankBy
from services.aggregator.domain.signals import Signal, Signals, of, shift_of_magnitudes
from services.aggregator.domain.significance import by_importance, survivors
from services.aggregator.domain.summary import Summary

_CONTROL, _ANOMALY, _USUAL = range(3)


@dataclass(frozen=True, eq=False)
class History:
    """Earlier healthy windows, rising in time, and which of them are held against each other."""

    windows: Sequence[Measured]
    pairs: Sequence[Pair]
    past: Past | None
    """None with fewer than FEWEST_CHANGES pairs."""

    @classmethod
    def of(
        cls,
        frame: Frame,
        summaries: Sequence[Summary],
        pairs: Sequence[Pair],
        phases: NDArray[np.intp],
    ) -> "History":
        """Return the history of these windows; `phases` [W + 1] are theirs and the anomaly's."""
        past = None
        if len(pairs) >= FEWEST_CHANGES:
            gallery = Gallery.of(frame, [portrait_of(frame, each) for each in summaries])
            past = Past.of(gallery, Plan.of(pairs, phases))
        return cls(summaries, pairs, past)


@dataclass(frozen=True)
class Diagnosis:
    """All features by rank."""

    ranking: Ranking
    chance: float | None
    """Probability that a clean window holds a feature that scores as high as the highest here; None
    where the past is too short to tell."""


def diagnose(
    features: Sequence[Feature],
    control: Summary,
    anomaly: Summary,
    history: History,
    rank_by: RankBy = RankBy.EVIDENCE,
    *,
    top_k: int | None = None,
) -> Diagnosis:
    """Rank the features, say which of them broke, and tell of the first `top_k`; None for all.

    With fewer than FEWEST_CHANGES changes in the history, or too few features to make up for it,
    the GFI shift is all the evidence there is, and its order the ranking by evidence.
    """
    noise = historical_noise(control, history.windows, history.pairs)
    shifts = shifts_of(features, control, anomaly, noise)
    gallery = _hung(Frame.of(features), control, anomaly, history.past)
    judge = _judge(history.past, floors_of(control.gfi, anomaly.example_count))
    moved = gallery.changes(_ANOMALY, _CONTROL)
    keys = _keys(rank_by, gallery, moved)
    if judge is None:
        keys = keys if keys is not None else np.abs(shifts.shift)
        return Diagnosis(shifts.ranked(keys, shifts.judgement(), top_k), None)
    findings = judge(moved, gallery.changes(_ANOMALY, _USUAL))
    keys = keys if keys is not None else findings.scores
    ranking = shifts.ranked(keys, _judgement(shifts, findings), top_k)
    return Diagnosis(ranking, judge.chance(findings))


def _hung(frame: Frame, control: Summary, anomaly: Summary, past: Past | None) -> Gallery:
    usual = [] if past is None else [past.usual]
    return Gallery.of(frame, [portrait_of(frame, control), portrait_of(frame, anomaly), *usual])


def _judge(past: Past | None, floors: NDArray[np.float64]) -> Judge | None:
    if past is None:
        return None
    judge = Judge(past, floors)
    return judge if judge.can_judge else None


def _keys(rank_by: RankBy, gallery: Gallery, moved: Signals) -> NDArray[np.float64] | None:
    """Return what features are ranked by, [M], last what is not known; None for the evidence."""
    if rank_by is RankBy.EVIDENCE:
        return None
    if rank_by is RankBy.MFC_SHIFT:
        hung = gallery.portraits
        shift = shift_of_magnitudes(gallery.frame, hung[_CONTROL], hung[_ANOMALY])
        return np.nan_to_num(shift, nan=-1.0)
    return np.nan_to_num(of(moved, Signal[rank_by.value]), nan=-1.0)


def _judgement(shifts: Shifts, findings: Findings) -> Judgement:
    weights = by_importance(np.maximum(shifts.control.gfi, shifts.anomaly.gfi))
    significant = survivors(findings.p / weights)
    return Judgement(scores_of(findings.p), significant, findings.of_feature)
