"""The signed distribution of a window's LFIs, as 33 quantiles of the non-zero ones.

Weighted as in `gfi`. The quantile at a level is the smallest value up to which the entries hold at
least that share of their weight, so those at 0 and 1 are the extremes. With the coverage, which
tells the mass at zero, they say what the distribution of the LFIs was; the distribution of |w| is
that of their magnitudes. Kept to sixteen bits, within 2^-8 of themselves.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.gfi import Columns, gather

LEVELS: NDArray[np.float64] = np.linspace(0.0, 1.0, 33)
"""Shares of a feature's non-zero LFIs."""
_SIGN = np.uint32(1 << 31)
_POPULATION = np.uint32(1)
_KEPT_BITS = np.uint32(0xFFFF_0000)
_HALF = np.uint32(0x8000)
_LARGEST = np.uint32(0x7F7F_0000)


def signed_quantiles(panes: Sequence[Pane], feature_count: int) -> NDArray[np.float32]:
    """Return the quantiles at LEVELS, float32 [M, 33]; zeros for a feature without entries."""
    columns = gather(panes, feature_count, _signed_keys)
    quantiles = np.zeros((feature_count, len(LEVELS)), dtype=np.float32)
    for j, (first, last) in enumerate(pairwise(columns.offsets)):
        if last > first:
            quantiles[j] = _values(columns.keys[first + _places(columns, first, last)])
    return rounded(quantiles)


def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values to the sixteen bits that are kept of each."""
    bits = values.view(np.uint32)
    magnitudes = np.minimum(((bits & ~_SIGN) + _HALF) & _KEPT_BITS, _LARGEST)
    return np.asarray(magnitudes | (bits & _SIGN)).view(np.float32)


def _signed_keys(pane: Pane) -> NDArray[np.uint32]:
    """Return keys in the order of the values; the last bit of each gives way to the population."""
    bits = pane.values.view(np.uint32)
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN) & ~_POPULATION
    return ordered | np.uint32(pane.population is Population.DISPLAYED)


def _values(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    ordered = keys & ~_POPULATION
    return np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered).view(np.float32)


def _places(columns: Columns, first: int, last: int) -> NDArray[np.intp]:
    """Return where in the column the quantiles are."""
    weights, count = columns.weights, last - first
    if weights.are_equal and columns.counts is None:
        wanted = np.ceil(LEVELS * count).astype(np.intp)
        return np.maximum(wanted, 1) - 1
    displayed = (columns.keys[first:last] & _POPULATION).astype(np.int64)
    steps = weights.considered + displayed * (weights.displayed - weights.considered)
    if columns.counts is not None:
        steps *= columns.counts[first:last]
    cumulative = np.cumsum(steps)
    # LEVELS are exact in binary, so whole weights compare without rounding.
    return np.asarray(np.searchsorted(cumulative, LEVELS * cumulative[-1], "left"))
