"""Which feature broke between two windows, by all that is known of both and of the past."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.evidence import Findings, Judge, floors_of
from services.aggregator.domain.history import historical_noise
from services.aggregator.domain.past import FEWEST_CHANGES, Past
from services.aggregator.domain.portrait import Frame, portraits
from services.aggregator.domain.ranking import (
    Ranking,
    descending_ranks,
    in_order,
    scores_of,
    shifts_of,
)
from services.aggregator.domain.shift import FeatureShift, RankBy
from services.aggregator.domain.signals import Signal, changes, of, shift_of_magnitudes
from services.aggregator.domain.significance import by_importance, survivors
from services.aggregator.domain.summary import Summary


@dataclass(frozen=True, eq=False)
class History:
    """Earlier healthy windows, rising in time, and which of them are held against each other."""

    summaries: Sequence[Summary]
    pairs: Sequence[tuple[int, int]]
    """Positions (later, earlier)."""
    phases: NDArray[np.intp]
    """[W + 1]: of each window, and of the anomaly."""


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
) -> Diagnosis:
    """Rank the features, and say which of them broke.

    With fewer than FEWEST_CHANGES changes in the history, or too few features to make up for it,
    the GFI shift is all the evidence there is, and its order the ranking by evidence.
    """
    noise = historical_noise(control, history.summaries, history.pairs)
    shifts = shifts_of(features, control, anomaly, noise)
    frame, rows = portraits(features, [control, anomaly, *history.summaries])
    keys = _keys(rank_by, frame, rows[0], rows[1])
    judge = _judge(frame, rows, history, floors_of(control.gfi, anomaly.example_count))
    if judge is None:
        keys = keys if keys is not None else np.abs(anomaly.gfi - control.gfi)
        return Diagnosis(_ranked(shifts, keys), None)
    findings = judge(rows[0], rows[1])
    weights = by_importance(np.maximum(control.gfi, anomaly.gfi))
    judged = _judged(shifts, findings, survivors(findings.p / weights))
    keys = keys if keys is not None else findings.scores
    return Diagnosis(_ranked(judged, keys), judge.chance(findings))


def _judge(
    frame: Frame, rows: NDArray[np.float32], history: History, floors: NDArray[np.float64]
) -> Judge | None:
    if len(history.pairs) < FEWEST_CHANGES:
        return None
    judge = Judge(Past.of(frame, rows[2:], history.pairs, history.phases), floors)
    return judge if judge.can_judge else None


def _keys(
    rank_by: RankBy, frame: Frame, control: NDArray[np.float32], anomaly: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """Return what features are ranked by, [M], last what is not known; None for the evidence."""
    if rank_by is RankBy.EVIDENCE:
        return None
    if rank_by is RankBy.MFC_SHIFT:
        return np.nan_to_num(shift_of_magnitudes(frame, control, anomaly), nan=-1.0)
    signals = changes(frame, control, anomaly)
    return np.nan_to_num(of(signals, Signal[rank_by.value]), nan=-1.0)


def _judged(
    shifts: Sequence[FeatureShift], findings: Findings, significant: NDArray[np.bool_]
) -> list[FeatureShift]:
    scores = scores_of(findings.p)
    return [
        replace(
            shift,
            score=float(scores[j]),
            evidence=findings.of_feature(j),
            significant=bool(significant[j]),
        )
        for j, shift in enumerate(shifts)
    ]


def _ranked(shifts: Sequence[FeatureShift], keys: NDArray[np.float64]) -> Ranking:
    ranks = descending_ranks(keys)
    return Ranking(
        in_order([replace(s, rank=int(rank)) for s, rank in zip(shifts, ranks, strict=True)])
    )
