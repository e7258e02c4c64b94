"""What the values of a window looked like, feature by feature.

Considered and displayed examples have half of the weight each, as in `gfi`: an example of
population P weighs 1 / (2 N_P). Counts add up exactly, so the order of batches changes nothing.

Model-feature correlation (eq. 5) is Pearson's over the same weights. With the moments of each
population - mean m, sum of squares S and of products C over N examples - the union has mean
sum(u m), variance sum(u (S / N + (m - mean)^2)) and covariance likewise, u the population's weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.merging import Merged, Weighted, union
from services.aggregator.domain.sketch import FURTHEST, MOST_HITTERS, Ragged

SCALE = 1 << 14
"""Of shares: what weighs less than half of 1 / SCALE is left out."""
_BUCKET_SHIFT = 20


@dataclass(frozen=True, eq=False)
class Profile:
    """Values of a window: M features, D distributions, P proxies, in the order of the layout.

    `baseline_rate` float32 [M]: weighted share of examples at the baseline. `buckets`: D rows of
    int16 with shares of SCALE as counts. `hitters`: the most frequent ids likewise, of all the
    distribution's ids. `correlations` float32 [P]: signed; NaN where something never changes.
    """

    example_count: int
    """Examples whose values were counted."""
    baseline_rate: NDArray[np.float32]
    buckets: Ragged
    hitters: Ragged
    correlations: NDArray[np.float32]

    def distribution(self, d: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return a distribution's buckets, rising, and their shares, which sum up to 1."""
        entries = slice(self.buckets.offsets[d], self.buckets.offsets[d + 1])
        shares = self.buckets.counts[entries].astype(np.float64)
        return self.buckets.keys[entries].astype(np.int64), shares / max(shares.sum(), 1.0)


def middle_of(buckets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the middles of buckets of numbers, float64; infinite in the furthest."""
    magnitudes = np.abs(buckets)
    bounds = np.stack([magnitudes, np.minimum(magnitudes + 1, FURTHEST - 1)])
    floats = (bounds.astype(np.uint32) << np.uint32(_BUCKET_SHIFT)).view(np.float32)
    middles = floats.astype(np.float64).mean(axis=0)
    middles[magnitudes == FURTHEST] = np.inf
    return np.where(magnitudes == 0, 0.0, np.sign(buckets) * middles)


def profile_of(panes: Sequence[Pane]) -> Profile | None:
    """Return the profile of the panes that have a sketch, None if none has."""
    parts = [_merged(panes, population) for population in Population]
    present = [part for part in parts if part is not None]
    if not present:
        return None
    weights = [1.0 / (len(present) * part.example_count) for part in present]
    rates = np.stack([part.baseline_counts for part in present]).T @ np.array(weights)
    buckets = union([part.buckets for part in present], weights)
    hitters = union([part.hitters for part in present], weights)
    return Profile(
        example_count=sum(part.example_count for part in present),
        baseline_rate=rates.astype(np.float32),
        buckets=_shares(buckets, buckets.row_sums()),
        hitters=_shares(hitters.most_frequent(MOST_HITTERS), np.ones(hitters.row_count)),
        correlations=_correlations(present),
    )


def _merged(panes: Sequence[Pane], population: Population) -> Merged | None:
    batches = [
        (pane.example_count, pane.sketch)
        for pane in panes
        if pane.population is population and pane.sketch is not None
    ]
    return Merged.of(batches) if batches else None


def _shares(weighted: Weighted, whole: NDArray[np.float64]) -> Ragged:
    """Return the weights in shares of SCALE of their row's `whole`, without those that vanish."""
    shares = weighted.weights * SCALE / whole[weighted.rows]
    return replace(weighted, weights=shares).rounded()


def _correlations(parts: Sequence[Merged]) -> NDArray[np.float32]:
    """Return Pearson's correlations of the union, in which each part has the same weight."""
    moments = np.stack([part.moments for part in parts])
    means = moments[:, :, 0].mean(axis=0)
    apart = moments[:, :, 0] - means
    variance = (moments[:, :, 1] + apart**2).mean(axis=0)
    covariance = (moments[:, :, 2] + apart * apart[:, -1:]).mean(axis=0)
    spread = np.sqrt(variance[:-1] * variance[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = np.where(spread > 0, covariance[:-1] / spread, np.nan)
    return np.clip(correlations, -1.0, 1.0).astype(np.float32)
