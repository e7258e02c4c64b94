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
    keeps the order of magnitudes, and the population in the bit that falls free. `keys` may be the
    middle of the column alone: `below` and `above` count the considered and the displayed entries
    that are left out at either end.
    """

    keys: NDArray[np.uint32]
    weights: Weights
    counts: NDArray[np.uint32] | None = None
    """How many entries each key stands for; None: one."""
    below: tuple[int, int] = (0, 0)
    above: tuple[int, int] = (0, 0)

    @property
    def values(self) -> NDArray[np.float32]:
        """Magnitudes, float32 [n]."""
        return (self.keys >> np.uint32(1)).view(np.float32)

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Entries up to and including each key, int64 [n]."""
        if self.counts is None:
            return np.arange(1, len(self.keys) + 1) + sum(self.below)
        return np.cumsum(self.counts, dtype=np.int64) + sum(self.below)

    @property
    def entry_count(self) -> int:
        """Entries of both populations, of the whole column."""
        kept = int(self.ranks[-1]) if len(self.keys) else sum(self.below)
        return kept + sum(self.above)

    @cached_property
    def displayed(self) -> NDArray[np.int64]:
        """Entries of displayed examples that each key stands for, int64 [n]."""
        is_displayed = (self.keys & _DISPLAYED).astype(np.int64)
        return is_displayed if self.counts is None else is_displayed * self.counts

    @cached_property
    def displayed_count(self) -> int:
        """Entries of displayed examples."""
        return self.below[1] + int(self.displayed.sum()) + self.above[1]

    @property
    def considered_count(self) -> int:
        """Entries of considered examples."""
        return self.entry_count - self.displayed_count

    @property
    def weight(self) -> int:
        """Weight of the whole column."""
        return self.weights.of(self.considered_count, self.displayed_count)

    @cached_property
    def cumulative(self) -> NDArray[np.int64]:
        """Weight of the entries up to and including each, int64 [n]."""
        step = self.weights.displayed - self.weights.considered
        displayed = np.cumsum(self.displayed) + self.below[1]
        return self.ranks * self.weights.considered + displayed * step

    @property
    def coverage(self) -> float:
        """Weighted share of examples with an entry, equation 3."""
        return self.weight / max(self.weights.total, 1)

    @cached_property
    def middle(self) -> tuple[int, int]:
        """Positions in `keys` of the lower and the upper weighted median."""
        if self.weights.are_equal and self.counts is None:
            count, below = self.entry_count, sum(self.below)
            return (count - 1) // 2 - below, count // 2 - below
        doubled, all_entries = 2 * self.cumulative, self.weight
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
    counts: NDArray[np.uint32] | None = None
    """How many entries each key stands for; None: one."""

    def __iter__(self) -> Iterator[Column]:
        for first, last in pairwise(self.offsets):
            counts = None if self.counts is None else self.counts[first:last]
            yield Column(self.keys[first:last], self.weights, counts)


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
    keys = _by_feature(panes, offsets, [key(pane) for pane in panes])
    if all(pane.counts is None for pane in panes):
        for first, last in pairwise(offsets):
            keys[first:last].sort()
        return Columns(keys, offsets, _weigh(panes))
    counts_of = [
        np.ones(len(pane.values), np.uint32) if pane.counts is None else pane.counts
        for pane in panes
    ]
    multiples = _by_feature(panes, offsets, counts_of)
    for first, last in pairwise(offsets):
        order = np.argsort(keys[first:last])
        keys[first:last] = keys[first:last][order]
        multiples[first:last] = multiples[first:last][order]
    return Columns(keys, offsets, _weigh(panes), multiples)


def importances(columns: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return importance and coverage of each feature, float64 [M] both."""
    pairs = [(column.importance, column.coverage) for column in columns]
    result = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return result[:, 0], result[:, 1]


def _by_feature(
    panes: Sequence[Pane], offsets: NDArray[np.int64], entries: Sequence[NDArray[np.uint32]]
) -> NDArray[np.uint32]:
    """Return the panes' entries with those of one feature together, at its offsets."""
    gathered = np.empty(offsets[-1], dtype=np.uint32)
    free = offsets[:-1].copy()
    for pane, some in zip(panes, entries, strict=True):
        counts = np.diff(pane.offsets).astype(np.int64)
        places = np.arange(len(some)) + np.repeat(free - pane.offsets[:-1], counts)
        gathered[places] = some
        free += counts
    return gathered


def _weigh(panes: Sequence[Pane]) -> Weights:
    def count(population: Population) -> int:
        return sum(pane.example_count for pane in panes if pane.population is population)

    return Weights(count(Population.CONSIDERED), count(Population.DISPLAYED))
