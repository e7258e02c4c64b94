"""Value sketches added up: whole counts exactly, moments to a rounding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.sketch import Ragged, Sketch


@dataclass(frozen=True, eq=False)
class Weighted:
    """Like Ragged, with weights for counts: `rows` and `keys` rise together."""

    row_count: int
    rows: NDArray[np.int64]
    keys: NDArray[np.int16] | NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, ragged: Ragged) -> "Weighted":
        """Return the rows with their counts for weights."""
        return cls(ragged.row_count, ragged.rows, ragged.keys, ragged.counts.astype(np.float64))

    def row_sums(self) -> NDArray[np.float64]:
        """Return each row's weights added up, float64 [rows]."""
        sums = np.bincount(self.rows, weights=self.weights, minlength=self.row_count)
        return sums.astype(np.float64)

    def most_frequent(self, most: int) -> "Weighted":
        """Return each row's heaviest keys; of equally heavy ones the smallest."""
        by_weight = np.lexsort((self.keys, -self.weights, self.rows))
        rows = self.rows[by_weight]
        kept = np.zeros(len(rows), dtype=np.bool_)
        kept[by_weight] = np.arange(len(rows)) - np.searchsorted(rows, rows) < most
        return Weighted(self.row_count, self.rows[kept], self.keys[kept], self.weights[kept])

    def rounded(self) -> Ragged:
        """Return the weights as the nearest whole counts, without those that vanish."""
        whole = np.rint(self.weights).astype(np.uint32)
        kept = whole > 0
        lengths = np.bincount(self.rows[kept], minlength=self.row_count)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.uint32)
        return Ragged(offsets, self.keys[kept], whole[kept])


@dataclass(frozen=True, eq=False)
class Merged:
    """Several batches' sketches as one.

    `moments` float64 [P + 1, 3]: mean, variance and covariance; the last row is the prediction's.
    """

    example_count: int
    baseline_counts: NDArray[np.int64]
    buckets: Weighted
    hitters: Weighted
    moments: NDArray[np.float64]

    @classmethod
    def of(cls, batches: Sequence[tuple[int, Sketch]]) -> "Merged":
        """Return the union of batches, each with the number of its examples."""
        sketches = [sketch for _, sketch in batches]
        counts = np.array([count for count, _ in batches], dtype=np.int64)
        baselines = np.stack([sketch.baseline_counts for sketch in sketches])
        return cls(
            example_count=int(counts.sum()),
            baseline_counts=baselines.sum(axis=0, dtype=np.int64),
            buckets=union([Weighted.of(sketch.buckets) for sketch in sketches]),
            hitters=union([Weighted.of(sketch.hitters) for sketch in sketches]),
            moments=_moments(counts, np.stack([_moments_of(sketch) for sketch in sketches])),
        )

    def sketch(self, most_hitters: int) -> Sketch:
        """Return the union as a sketch again, with so many ids of each distribution."""
        sums = self.moments * [1.0, self.example_count, self.example_count]
        return Sketch(
            baseline_counts=self.baseline_counts.astype(np.uint32),
            buckets=self.buckets.rounded(),
            hitters=self.hitters.most_frequent(most_hitters).rounded(),
            moments=sums[:-1],
            prediction_mean=float(sums[-1, 0]),
            prediction_squares=float(sums[-1, 1]),
        )


def union(parts: Sequence[Weighted], factors: Sequence[float] | None = None) -> Weighted:
    """Add weights up by row and key. Whole numbers add up exactly, in whatever order."""
    rows = np.concatenate([part.rows for part in parts])
    keys = np.concatenate([part.keys for part in parts])
    each = factors or [1.0] * len(parts)
    weights = np.concatenate([p.weights * factor for p, factor in zip(parts, each, strict=True)])
    order = _order(rows, keys)
    rows, keys = rows[order], keys[order]
    if not len(rows):
        return Weighted(parts[0].row_count, rows, keys, weights)
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (rows[1:] != rows[:-1]) | (keys[1:] != keys[:-1])
    firsts = np.flatnonzero(is_first)
    sums = np.add.reduceat(weights[order], firsts)
    return Weighted(parts[0].row_count, rows[firsts], keys[firsts], sums)


def _order(
    rows: NDArray[np.int64], keys: NDArray[np.int16] | NDArray[np.int64]
) -> NDArray[np.intp]:
    if keys.dtype == np.int16:
        # One key of both: batches come sorted, and merging them is quick.
        return np.argsort((rows << 16) + keys, kind="stable")
    return np.lexsort((keys, rows))


def _moments_of(sketch: Sketch) -> NDArray[np.float64]:
    squares = sketch.prediction_squares
    return np.vstack([sketch.moments, [sketch.prediction_mean, squares, squares]])


def _moments(counts: NDArray[np.int64], moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean, variance and covariance of batches together, of float64 [batches, P + 1, 3]."""
    shares = (counts / counts.sum())[:, np.newaxis]
    means = (moments[:, :, 0] * shares).sum(axis=0)
    apart = moments[:, :, 0] - means
    variance = moments[:, :, 1].sum(axis=0) / counts.sum() + (shares * apart**2).sum(axis=0)
    products = moments[:, :, 2].sum(axis=0) / counts.sum()
    covariance = products + (shares * apart * apart[:, -1:]).sum(axis=0)
    return np.stack([means, variance, covariance], axis=1)
