"""What the values of a window looked like, feature by feature.

Considered and displayed examples have half of the weight each, as in `gfi`: an example of
population P weighs 1 / (2 N_P). Counts add up exactly, so the order of batches changes nothing.

Model-feature correlation (eq. 5) is Pearson's over the same weights. With the moments of each
population - mean m, sum of squares S and of products C over N examples - the union has mean
sum(u m), variance sum(u (S / N + (m - mean)^2)) and covariance likewise, u the population's weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.sketch import FURTHEST, MOST_HITTERS, Ragged, Sketch

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
    parts = [_Part.of(panes, population) for population in Population]
    present = [part for part in parts if part is not None]
    if not present:
        return None
    weights = [1.0 / (len(present) * part.example_count) for part in present]
    rates = np.stack([part.baseline_counts for part in present]).T @ np.array(weights)
    buckets = _union([part.buckets for part in present], weights)
    return Profile(
        example_count=sum(part.example_count for part in present),
        baseline_rate=rates.astype(np.float32),
        buckets=_quantised(buckets, _row_sums(buckets)),
        hitters=_most_frequent(_union([part.hitters for part in present], weights)),
        correlations=_correlations(present),
    )


@dataclass(frozen=True, eq=False)
class _Weighted:
    """Like Ragged, with weights for counts: `rows` and `keys` rise together."""

    row_count: int
    rows: NDArray[np.int64]
    keys: NDArray[np.int16] | NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Part:
    """One population's sketches added up."""

    example_count: int
    baseline_counts: NDArray[np.int64]
    buckets: _Weighted
    hitters: _Weighted
    moments: NDArray[np.float64]
    """[P + 1, 3]: mean, variance, covariance; the last row is the prediction's."""

    @classmethod
    def of(cls, panes: Sequence[Pane], population: Population) -> "_Part | None":
        found = [
            (pane.example_count, pane.sketch)
            for pane in panes
            if pane.population is population and pane.sketch is not None
        ]
        if not found:
            return None
        sketches = [sketch for _, sketch in found]
        counts = np.array([count for count, _ in found], dtype=np.int64)
        baselines = np.stack([sketch.baseline_counts for sketch in sketches])
        return cls(
            example_count=int(counts.sum()),
            baseline_counts=baselines.sum(axis=0, dtype=np.int64),
            buckets=_union([_whole(sketch.buckets) for sketch in sketches]),
            hitters=_union([_whole(sketch.hitters) for sketch in sketches]),
            moments=_merged(counts, np.stack([_moments_of(sketch) for sketch in sketches])),
        )


def _whole(ragged: Ragged) -> _Weighted:
    return _Weighted(ragged.row_count, ragged.rows, ragged.keys, ragged.counts.astype(np.float64))


def _union(parts: Sequence[_Weighted], factors: Sequence[float] | None = None) -> _Weighted:
    """Add weights up by row and key. Whole numbers add up exactly, in whatever order."""
    rows = np.concatenate([part.rows for part in parts])
    keys = np.concatenate([part.keys for part in parts])
    scaled = [
        part.weights * f for part, f in zip(parts, factors or [1.0] * len(parts), strict=True)
    ]
    weights = np.concatenate(scaled)
    order = _order(rows, keys)
    rows, keys = rows[order], keys[order]
    if not len(rows):
        return _Weighted(parts[0].row_count, rows, keys, weights)
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (rows[1:] != rows[:-1]) | (keys[1:] != keys[:-1])
    firsts = np.flatnonzero(is_first)
    sums = np.add.reduceat(weights[order], firsts)
    return _Weighted(parts[0].row_count, rows[firsts], keys[firsts], sums)


def _order(
    rows: NDArray[np.int64], keys: NDArray[np.int16] | NDArray[np.int64]
) -> NDArray[np.intp]:
    if keys.dtype == np.int16:
        # One key of both: batches come sorted, and merging them is quick.
        return np.argsort((rows << 16) + keys, kind="stable")
    return np.lexsort((keys, rows))


def _row_sums(weighted: _Weighted) -> NDArray[np.float64]:
    sums = np.bincount(weighted.rows, weights=weighted.weights, minlength=weighted.row_count)
    return sums.astype(np.float64)


def _quantised(weighted: _Weighted, whole: NDArray[np.float64]) -> Ragged:
    """Return the weights in shares of SCALE of their row's `whole`, without those that vanish."""
    shares = np.rint(weighted.weights * SCALE / whole[weighted.rows]).astype(np.uint32)
    kept = shares > 0
    counts = np.bincount(weighted.rows[kept], minlength=weighted.row_count)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.uint32)
    return Ragged(offsets, weighted.keys[kept], shares[kept])


def _most_frequent(hitters: _Weighted) -> Ragged:
    """Return each row's most frequent ids; of equally frequent ones the smallest."""
    by_weight = np.lexsort((hitters.keys, -hitters.weights, hitters.rows))
    rows = hitters.rows[by_weight]
    is_kept = np.zeros(len(rows), dtype=np.bool_)
    is_kept[by_weight] = np.arange(len(rows)) - np.searchsorted(rows, rows) < MOST_HITTERS
    kept = _Weighted(
        hitters.row_count, hitters.rows[is_kept], hitters.keys[is_kept], hitters.weights[is_kept]
    )
    return _quantised(kept, np.ones(hitters.row_count))


def _moments_of(sketch: Sketch) -> NDArray[np.float64]:
    squares = sketch.prediction_squares
    return np.vstack([sketch.moments, [sketch.prediction_mean, squares, squares]])


def _merged(counts: NDArray[np.int64], moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean, variance and covariance of batches together, of float64 [batches, P + 1, 3]."""
    shares = (counts / counts.sum())[:, np.newaxis]
    means = (moments[:, :, 0] * shares).sum(axis=0)
    apart = moments[:, :, 0] - means
    variance = moments[:, :, 1].sum(axis=0) / counts.sum() + (shares * apart**2).sum(axis=0)
    products = moments[:, :, 2].sum(axis=0) / counts.sum()
    covariance = products + (shares * apart * apart[:, -1:]).sum(axis=0)
    return np.stack([means, variance, covariance], axis=1)


def _correlations(parts: Sequence[_Part]) -> NDArray[np.float32]:
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
