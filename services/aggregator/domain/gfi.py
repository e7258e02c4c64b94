"""Equations 3 and 4 over two populations of equal weight, exactly.

A window holds N_c considered and N_d displayed examples, and each population has half of the
weight: an example of population P weighs 1 / (2 N_P). When only one population is present it has
all the weight. With u(S) the weight of a set of examples, over all N_c + N_d:

    coverage   c[j] = u({i : w[i,j] != 0})                                                  (eq. 3)
    importance I[j] = c[j] * med({|w[i,j]| : w[i,j] != 0})                                  (eq. 4)

`med` is the weighted median: the mean of the smallest value up to which the non-zero entries hold
at least half of their weight, and the smallest up to which they hold more than half. With equal
weights that is `numpy.median`. Weights are compared as integers (1 / (2 N_P) is to its other as
N_Q to N_P), so neither the order of blocks nor rounding decides between two values.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import gcd

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population

_DISPLAYED = np.uint32(1)


@dataclass(frozen=True)
class Weights:
    """Examples by population and the integer weight of each: all of them weigh `total`."""

    considered_count: int
    displayed_count: int

    @cached_property
    def considered(self) -> int:
        """Weight of a considered example."""
        return self.displayed_count // self._divisor if self.are_mixed else 1

    @cached_property
    def displayed(self) -> int:
        """Weight of a displayed example."""
        return self.considered_count // self._divisor if self.are_mixed else 1

    @property
    def total(self) -> int:
        """Weight of all examples."""
        return self.of(self.considered_count, self.displayed_count)

    @property
    def are_mixed(self) -> bool:
        """Whether both populations are present."""
        return bool(self.considered_count and self.displayed_count)

    @property
    def are_equal(self) -> bool:
        """Whether all examples weigh the same."""
        return self.considered == self.displayed

    def of(self, considered: int, displayed: int) -> int:
        """Return the weight of so many examples of each population."""
        return considered * self.considered + displayed * self.displayed

    @property
    def _divisor(self) -> int:
        return gcd(self.considered_count, self.displayed_count)


@dataclass(frozen=True, eq=False)
class Column:
    """The non-zero |LFI| of one feature, ascending, and whose they are.

    `keys` uint32 [n], sorted: the bits of a float32 moved left by one, which drops its sign and
    keeps the order of magnitudes, and the population in the bit that falls free.
    """

    keys: NDArray[np.uint32]
    weights: Weights

    @property
    def values(self) -> NDArray[np.float32]:
        """Magnitudes, float32 [n]."""
        return (self.keys >> np.uint32(1)).view(np.float32)

    @cached_property
    def displayed_count(self) -> int:
        """Entries of displayed examples."""
        return int(np.count_nonzero(self.keys & _DISPLAYED))

    @property
    def considered_count(self) -> int:
        """Entries of considered examples."""
        return len(self.keys) - self.displayed_count

    @cached_property
    def cumulative(self) -> NDArray[np.int64]:
        """Weight of the entries up to and including each, int64 [n]."""
        step = self.weights.displayed - self.weights.considered
        displayed = np.cumsum(self.keys & _DISPLAYED, dtype=np.int64)
        return np.arange(1, len(self.keys) + 1) * self.weights.considered + displayed * step

    @property
    def coverage(self) -> float:
        """Weighted share of examples with an entry, equation 3."""
        weight = self.weights.of(self.considered_count, self.displayed_count)
        return weight / max(self.weights.total, 1)

    @cached_property
    def middle(self) -> tuple[int, int]:
        """Positions of the lower and the upper weighted median."""
        if self.weights.are_equal:
            return (len(self.keys) - 1) // 2, len(self.keys) // 2
        doubled, all_entries = 2 * self.cumulative, self.cumulative[-1]
        at_least_half = np.searchsorted(doubled, all_entries, "left")
        more_than_half = np.searchsorted(doubled, all_entries, "right")
        return int(at_least_half), int(more_than_half)

    @property
    def median(self) -> float:
        """Weighted median of the magnitudes."""
        lower, upper = (float(self.values[position]) for position in self.middle)
        return (lower + upper) / 2

    @property
    def importance(self) -> float:
        """Equation 4; zero for a feature without entries."""
        return self.coverage * self.median if len(self.keys) else 0.0


@dataclass(frozen=True, eq=False)
class Columns:
    """All features' columns: feature j owns `keys[offsets[j]:offsets[j + 1]]`."""

    keys: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    weights: Weights

    def __iter__(self) -> Iterator[Column]:
        for first, last in pairwise(self.offsets):
            yield Column(self.keys[first:last], self.weights)


def keys_of(pane: Pane) -> NDArray[np.uint32]:
    """Return the pane's entries as keys of columns, uint32 [entries]."""
    is_displayed = np.uint32(pane.population is Population.DISPLAYED)
    return (pane.values.view(np.uint32) << np.uint32(1)) | is_displayed


def gather(
    panes: Sequence[Pane],
    feature_count: int,
    key: Callable[[Pane], NDArray[np.uint32]] = keys_of,
) -> Columns:
    """Return the panes' entries feature by feature, sorted by their keys: by magnitude."""
    counts = np.zeros(feature_count, dtype=np.int64)
    for pane in panes:
        counts += np.diff(pane.offsets)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    keys = np.empty(offsets[-1], dtype=np.uint32)
    free = offsets[:-1].copy()
    for pane in panes:
        free += _scatter(pane, key(pane), free, keys)
    for first, last in pairwise(offsets):
        keys[first:last].sort()
    return Columns(keys, offsets, _weigh(panes))


def importances(columns: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return importance and coverage of each feature, float64 [M] both."""
    pairs = [(column.importance, column.coverage) for column in columns]
    result = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return result[:, 0], result[:, 1]


def _scatter(
    pane: Pane, entries: NDArray[np.uint32], free: NDArray[np.int64], keys: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """Put the pane's entries at the features' next free places; return how many each took."""
    counts = np.diff(pane.offsets).astype(np.int64)
    places = np.arange(len(pane.values)) + np.repeat(free - pane.offsets[:-1], counts)
    keys[places] = entries
    return counts


def _weigh(panes: Sequence[Pane]) -> Weights:
    def count(population: Population) -> int:
        return sum(pane.example_count for pane in panes if pane.population is population)

    return Weights(count(Population.CONSIDERED), count(Population.DISPLAYED))
