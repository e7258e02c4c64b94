"""Features by importance, and by what speaks for a corruption of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.evidence import Evidence
from services.aggregator.domain.history import HistoricalNoise
from services.aggregator.domain.shift import FeatureImportance, FeatureShift
from services.aggregator.domain.signals import Signal
from services.aggregator.domain.significance import survivors, two_sided_p
from services.aggregator.domain.summary import Summary

_INTERVAL = 1.959964
_FLOOR = 1e-3
_RAREST = 1e-300


@dataclass(frozen=True)
class Ranking:
    """Features, the first by rank first, and what all of them are."""

    shifts: Sequence[FeatureShift]
    """The first so many that were asked for."""
    feature_count: int
    significant_count: int
    """How many of all features survive false-discovery control."""


def descending_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each value's rank, 1 for the largest; of equal values the first ranks first."""
    order = np.argsort(-values, kind="stable")
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(1, len(values) + 1)
    return ranks


def rank_importances(features: Sequence[Feature], summary: Summary) -> list[FeatureImportance]:
    """Return the features' importances by rank."""
    ranks = descending_ranks(summary.gfi)
    return [
        FeatureImportance(
            feature=features[j],
            gfi=float(summary.gfi[j]),
            coverage=float(summary.coverage[j]),
            standard_error=float(summary.standard_error[j]),
            rank=int(ranks[j]),
        )
        for j in np.argsort(ranks)
    ]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What speaks for each feature.

    `scores` float64 [M]: -log10 of the probability that a feature of a clean window scores as high.
    `significant` bool [M]: what survives false-discovery control over all features. `evidence`:
    of the feature at a place, the strongest first.
    """

    scores: NDArray[np.float64]
    significant: NDArray[np.bool_]
    evidence: Callable[[int], Sequence[Evidence]]


@dataclass(frozen=True, eq=False)
class Shifts:
    """The shift of each feature's importance from control to anomaly, and its standard error."""

    features: Sequence[Feature]
    control: Summary
    anomaly: Summary
    shift: NDArray[np.float64]
    error: NDArray[np.float64]
    degrees: int
    """Of freedom, of the historical noise within the error."""

    def judgement(self) -> Judgement:
        """Return what the shifts alone say: those that survive, with Student's t."""
        p = two_sided_p(self.shift / self.error, self.degrees)
        return Judgement(scores_of(p), survivors(p), self._evidence)

    def ranked(
        self, keys: NDArray[np.float64], judgement: Judgement, top_k: int | None = None
    ) -> Ranking:
        """Rank the features by falling keys; tell of the first `top_k`, None for all."""
        ranks = descending_ranks(keys)
        others = (np.abs(self.shift), self.control.gfi, self.anomaly.gfi)
        places = [ranks, *map(descending_ranks, others)]
        return Ranking(
            shifts=[
                self._told(j, judgement, [int(place[j]) for place in places])
                for j in np.argsort(ranks)[:top_k].tolist()
            ],
            feature_count=len(self.features),
            significant_count=int(judgement.significant.sum()),
        )

    def _told(self, j: int, judgement: Judgement, ranks: Sequence[int]) -> FeatureShift:
        shift, error = float(self.shift[j]), float(self.error[j])
        rank, shift_rank, control_rank, anomaly_rank = ranks
        return FeatureShift(
            feature=self.features[j],
            rank=rank,
            shift=shift,
            control_gfi=float(self.control.gfi[j]),
            anomaly_gfi=float(self.anomaly.gfi[j]),
            control_coverage=float(self.control.coverage[j]),
            anomaly_coverage=float(self.anomaly.coverage[j]),
            control_rank=control_rank,
            anomaly_rank=anomaly_rank,
            lower=shift - _INTERVAL * error,
            upper=shift + _INTERVAL * error,
            z=shift / error,
            significant=bool(judgement.significant[j]),
            score=float(judgement.scores[j]),
            evidence=judgement.evidence(j),
            shift_rank=shift_rank,
        )

    def _evidence(self, j: int) -> Sequence[Evidence]:
        change, error = abs(float(self.shift[j])), float(self.error[j])
        return [Evidence(Signal.GFI_SHIFT, change, error, change / error)]


def rank_shifts(
    features: Sequence[Feature], control: Summary, anomaly: Summary, noise: HistoricalNoise
) -> Ranking:
    """Rank the features by |I(anomaly) - I(control)|, the paper's way; see `shifts_of`."""
    shifts = shifts_of(features, control, anomaly, noise)
    return shifts.ranked(np.abs(shifts.shift), shifts.judgement())


def shifts_of(
    features: Sequence[Feature], control: Summary, anomaly: Summary, noise: HistoricalNoise
) -> Shifts:
    """Return each feature's shift with its standard error.

    The error combines both windows' bootstrap errors with the historical noise; its floor is a
    thousandth of the median importance, so that a feature without any past does not stand out for
    next to nothing. The 95 % interval is normal, `z` is the shift over the error.
    """
    error = _standard_error(control, anomaly, noise)
    shift = anomaly.gfi - control.gfi
    return Shifts(features, control, anomaly, shift, error, noise.degrees)


def scores_of(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -log10 of probabilities, finite."""
    return np.asarray(-np.log10(np.maximum(p, _RAREST)))


def _standard_error(
    control: Summary, anomaly: Summary, noise: HistoricalNoise
) -> NDArray[np.float64]:
    present = control.gfi[control.gfi > 0]
    floor = _FLOOR * float(np.median(present)) if len(present) else _FLOOR
    bootstrap = control.standard_error**2 + anomaly.standard_error**2
    return np.sqrt(bootstrap + noise.variance + floor**2)
