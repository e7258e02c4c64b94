"""How the values of windows are spread over buckets, laid side by side so that any can be compared.

A distribution's *shares* are those of its buckets, the baseline among them as one more value; they
sum up to 1. How far two distributions P and Q are apart is sqrt(JS(P, Q)), in bits: with s = P + Q
of a bucket and u = 2 max(P, Q) / s,

    JS(P, Q) = sum of s / 4 * (u log2 u + (2 - u) log2 (2 - u)).

No term is a small difference of large ones, so float32 is enough: the distance is within 1e-6 of
what float64 gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.profile import Profile

Floats = NDArray[np.floating[Any]]

_PLACES = 1 << 12
"""Of each distribution: its baseline's comes first, that of bucket b is _ZERO + b."""
_ZERO = _PLACES // 2
_AT_ONCE = 64
"""Distributions in a table, so that its rows stay in a processor's cache."""
_TINY = np.float32(1e-30)
"""Nothing, but for its logarithm."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Of one window's D distributions: `places` int32 [n], rising, and `values` float32 [n]."""

    places: NDArray[np.int32]
    values: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """What they take in memory."""
        return self.places.nbytes + self.values.nbytes


def shares_of(profile: Profile, owners: NDArray[np.intp]) -> Shares:
    """Return a profile's shares; `owners` [D] are the features of its distributions.

    What is not at the baseline is spread over the buckets; where nothing was seen but the baseline,
    that is all of it.
    """
    buckets = profile.buckets
    count, ends = buckets.row_count, buckets.offsets.astype(np.intp)
    # Each distribution's baseline stands before its buckets: then no row is empty.
    firsts, lengths = ends[:-1] + np.arange(count), ends[1:] - ends[:-1] + 1
    keys = np.insert(buckets.keys.astype(np.int32), ends[:-1], -_ZERO)
    counts = np.insert(buckets.counts, ends[:-1], 0)
    totals = np.add.reduceat(counts, firsts, dtype=np.int64) if count else np.zeros(0)
    at_baseline = np.where(totals > 0, profile.baseline_rate[owners].astype(np.float64), 1.0)
    values = counts * np.repeat((1.0 - at_baseline) / np.maximum(totals, 1), lengths)
    values[firsts] = at_baseline
    bases = np.arange(count, dtype=np.int32) * _PLACES + _ZERO
    return Shares(np.repeat(bases, lengths) + keys, values.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Table:
    """Some distributions of several windows, side by side.

    `places` int32 [L]: all that occur in any window. `rows` float32 [windows, L]: zero where a
    window has no such value, NaN where nothing is known of the window. `starts` [d]: where each
    distribution begins.
    """

    places: NDArray[np.int32]
    rows: NDArray[np.float32]
    starts: NDArray[np.intp]


def tables(shares: Sequence[Shares | None], distributions: int) -> list[Table]:
    """Return the windows' distributions side by side, some of them a table, in order."""
    bounds = np.array([*range(0, distributions, _AT_ONCE), distributions], dtype=np.int32)
    cuts = [None if s is None else np.searchsorted(s.places, bounds * _PLACES) for s in shares]
    made = []
    for part, (first, end) in enumerate(pairwise(bounds)):
        parts = [
            None if one is None or cut is None else _part(one, cut[part], cut[part + 1])
            for one, cut in zip(shares, cuts, strict=True)
        ]
        made.append(_table(parts, first * _PLACES, int(end - first)))
    return made


def _part(shares: Shares, first: int, end: int) -> Shares:
    return Shares(shares.places[first:end], shares.values[first:end])


def _table(shares: Sequence[Shares | None], base: np.int32, count: int) -> Table:
    # Not int32, which takes NumPy twice as long to index by.
    local = [None if each is None else (each.places - base).astype(np.intp) for each in shares]
    occurs = np.zeros(count * _PLACES, dtype=np.bool_)
    occurs[::_PLACES] = True
    for places in local:
        if places is not None:
            occurs[places] = True
    found = np.flatnonzero(occurs)
    columns = np.empty(len(occurs), dtype=np.intp)
    columns[found] = np.arange(len(found))
    rows = np.zeros((len(shares), len(found)), dtype=np.float32)
    for row, each, places in zip(rows, shares, local, strict=True):
        if each is None or places is None:
            row[:] = np.nan
        else:
            row[columns.take(places)] = each.values
    return Table(found.astype(np.int32) + base, rows, columns[::_PLACES])


def distances(one: Floats, other: Floats, starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how far two rows of a table are apart, [d] by distribution; NaN where unknown."""
    both = one + other
    # Of the two the larger: then 2 - u is exact, and what is lost of u is lost of both terms alike.
    upper = np.maximum(one, other) / (both + _TINY)
    upper += upper
    lower = np.float32(2.0) - upper
    terms = upper * np.log2(upper + _TINY)
    terms += lower * np.log2(lower + _TINY)
    terms *= both
    divergence = np.add.reduceat(terms, starts).astype(np.float64)
    return np.sqrt(np.maximum(divergence, 0.0) / 4)
