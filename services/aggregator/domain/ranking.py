"""Features by importance, and by what speaks for a corruption of each."""

from collections.abc import Sequence
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
    """All features, the first by rank first."""

    shifts: Sequence[FeatureShift]

    @property
    def significant_count(self) -> int:
        """How many features survive false-discovery control."""
        return sum(shift.significant for shift in self.shifts)


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


def rank_shifts(
    features: Sequence[Feature], control: Summary, anomaly: Summary, noise: HistoricalNoise
) -> Ranking:
    """Rank the features by |I(anomaly) - I(control)|, the paper's way; see `shifts_of`."""
    return Ranking(in_order(shifts_of(features, control, anomaly, noise)))


def in_order(shifts: Sequence[FeatureShift]) -> list[FeatureShift]:
    """Return the shifts by rank."""
    return sorted(shifts, key=lambda shift: shift.rank)


def shifts_of(
    features: Sequence[Feature], control: Summary, anomaly: Summary, noise: HistoricalNoise
) -> list[FeatureShift]:
    """Return each feature's shift, in the features' order, with its rank by absolute shift.

    A shift's standard error combines both windows' bootstrap errors with the historical noise; its
    floor is a thousandth of the median importance, so that a feature without any past does not
    stand out for next to nothing. The 95 % interval is normal; `z` is the shift over the standard
    error; significant are the shifts that survive Benjamini and Hochberg's procedure over all
    features, with Student's t on the history's degrees of freedom. Other evidence there is none.
    """
    shift = anomaly.gfi - control.gfi
    error = _standard_error(control, anomaly, noise)
    z = shift / error
    p = two_sided_p(z, noise.degrees)
    significant, scores = survivors(p), scores_of(p)
    ranks = descending_ranks(np.abs(shift))
    control_ranks, anomaly_ranks = descending_ranks(control.gfi), descending_ranks(anomaly.gfi)
    return [
        FeatureShift(
            feature=feature,
            rank=int(ranks[j]),
            shift=float(shift[j]),
            control_gfi=float(control.gfi[j]),
            anomaly_gfi=float(anomaly.gfi[j]),
            control_coverage=float(control.coverage[j]),
            anomaly_coverage=float(anomaly.coverage[j]),
            control_rank=int(control_ranks[j]),
            anomaly_rank=int(anomaly_ranks[j]),
            lower=float(shift[j] - _INTERVAL * error[j]),
            upper=float(shift[j] + _INTERVAL * error[j]),
            z=float(z[j]),
            significant=bool(significant[j]),
            score=float(scores[j]),
            evidence=[_of_shift(float(shift[j]), float(error[j]))],
            shift_rank=int(ranks[j]),
        )
        for j, feature in enumerate(features)
    ]


def scores_of(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -log10 of probabilities, finite."""
    return np.asarray(-np.log10(np.maximum(p, _RAREST)))


def _of_shift(shift: float, error: float) -> Evidence:
    return Evidence(Signal.GFI_SHIFT, abs(shift), error, abs(shift) / error)


def _standard_error(
    control: Summary, anomaly: Summary, noise: HistoricalNoise
) -> NDArray[np.float64]:
    present = control.gfi[control.gfi > 0]
    floor = _FLOOR * float(np.median(present)) if len(present) else _FLOOR
    bootstrap = control.standard_error**2 + anomaly.standard_error**2
    return np.sqrt(bootstrap + noise.variance + floor**2)
