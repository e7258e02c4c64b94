"""Features by how much their importance shifted, and which shifts are more than noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.history import HistoricalNoise
from services.aggregator.domain.shift import FeatureImportance, FeatureShift
from services.aggregator.domain.significance import survivors, two_sided_p
from services.aggregator.domain.summary import Summary

_INTERVAL = 1.959964
_FLOOR = 1e-3


@dataclass(frozen=True)
class Ranking:
    """All features by absolute shift, the largest first."""

    shifts: Sequence[FeatureShift]

    @property
    def significant_count(self) -> int:
        """How many shifts survive false-discovery control."""
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
    """Rank the features by |I(anomaly) - I(control)|.

    A shift's standard error combines both windows' bootstrap errors with the historical noise; its
    floor is a thousandth of the median importance, so that a feature without any past does not
    stand out for next to nothing. The 95 % interval is normal; `z` is the shift over the standard
    error; significant are the shifts that survive Benjamini and Hochberg's procedure over all
    features, with Student's t on the history's degrees of freedom.
    """
    shift = anomaly.gfi - control.gfi
    error = _standard_error(control, anomaly, noise)
    z = shift / error
    significant = survivors(two_sided_p(z, noise.degrees))
    ranks = descending_ranks(np.abs(shift))
    control_ranks, anomaly_ranks = descending_ranks(control.gfi), descending_ranks(anomaly.gfi)
    return Ranking(
        [
            FeatureShift(
                feature=features[j],
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
            )
            for j in np.argsort(ranks)
        ]
    )


def _standard_error(
    control: Summary, anomaly: Summary, noise: HistoricalNoise
) -> NDArray[np.float64]:
    present = control.gfi[control.gfi > 0]
    floor = _FLOOR * float(np.median(present)) if len(present) else _FLOOR
    bootstrap = control.standard_error**2 + anomaly.standard_error**2
    return np.sqrt(bootstrap + noise.variance + floor**2)
