"""Magnitudes of LFIs by feature, counted in bins: memory does not depend on how many there are.

An octave has 64 bins of equal width, so that a bin's edges are at most 1/64 apart. Bins reach from
2^-30 to 2^10; what lies outside counts in the outermost ones, which reach to zero and to infinity.
"""

import numpy as np
from numpy.typing import NDArray

_SHIFT = 17
"""Bits of a float32 that a bin does not tell apart: six of the mantissa remain."""
_FIRST = (127 - 30) << 6
"""The remaining bits of 2^-30."""
_BINS = 40 << 6


class Magnitudes:
    """How many magnitudes of each feature lie in each bin."""

    def __init__(self, feature_count: int) -> None:
        self._bins = np.zeros((feature_count, _BINS), dtype=np.uint32)
        self.counts = np.zeros(feature_count, dtype=np.int64)
        """Magnitudes of each feature, [M]."""

    def add(self, offsets: NDArray[np.uint32], values: NDArray[np.float32]) -> None:
        """Count values [entries]; feature j owns those from `offsets[j]` to `offsets[j + 1]`."""
        entries = offsets[1:].astype(np.int64) - offsets[:-1]
        features = np.repeat(np.arange(len(entries)), entries)
        bits = np.abs(values).view(np.uint32) >> np.uint32(_SHIFT)
        bins = np.clip(bits.astype(np.int64) - _FIRST, 0, _BINS - 1)
        np.add.at(self._bins, (features, bins), 1)
        self.counts += entries

    def around(
        self, features: NDArray[np.intp], ranks: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the edges around the magnitude of each rank, counted from 1 as the smallest.

        0 and infinity where a feature has none of that rank.
        """
        cumulative = np.cumsum(self._bins[features], axis=1, dtype=np.uint32)
        bins = (cumulative < ranks[:, np.newaxis]).sum(axis=1)
        exists = (ranks >= 1) & (ranks <= self.counts[features])
        bins = np.minimum(bins, _BINS - 1)
        return np.where(exists, _EDGES[bins], 0.0), np.where(exists, _EDGES[bins + 1], np.inf)

    def medians(self, features: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the features' median magnitudes to half a bin; 0 where there are none."""
        counts = self.counts[features]
        middles = np.zeros(len(features))
        for ranks in ((counts + 1) // 2, counts // 2 + 1):
            lower, upper = self.around(features, ranks)
            middles += (lower + np.where(np.isfinite(upper), upper, lower)) / 4
        return np.where(counts > 0, middles, 0.0)


def _edges() -> NDArray[np.float64]:
    bits = (np.arange(_BINS + 1) + _FIRST).astype(np.uint32) << np.uint32(_SHIFT)
    edges = bits.view(np.float32).astype(np.float64)
    edges[0], edges[-1] = 0.0, np.inf
    return edges


_EDGES = _edges()
