"""Importances over the latest examples, kept up to date pane by pane.

One pane enters, the oldest leaves, and most of the window stays: its columns need not be sorted
anew. For each feature we keep how many entries lie under a bracket, and those within it in order:
a few per cent of the column around its weighted median. An entry that enters or leaves changes a
count, or a place in the bracket. The median is then looked up in the bracket; when it has wandered
out, that one column is bracketed anew from its panes. The result is the same, to the last bit, as
that of `gfi.importances` over all panes.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.gfi import Weights, keys_of

_KEY_BITS = 32
_KEY = (1 << _KEY_BITS) - 1
_FEWEST_BESIDE = 16
_SHARE_BESIDE = 32


@dataclass(frozen=True, eq=False)
class _Run:
    """A pane's entries: `keys` as in gfi.Column, and whose column each is in."""

    pane: Pane
    keys: NDArray[np.int64]
    features: NDArray[np.int64]

    @property
    def row(self) -> int:
        """Where counts of its population stand."""
        return int(self.pane.population is Population.DISPLAYED)


class SlidingWindow:
    """The panes of a window by count, oldest first, and their importances.

    `lows` and `highs` int64 [M]: the keys that each feature's bracket begins with and ends before.
    `counts` and `below` int64 [2, M]: considered and displayed entries, in all and under the
    bracket. `bracket` int64 [n], sorted: feature and key of the entries within.
    """

    def __init__(self, feature_count: int) -> None:
        self._runs: deque[_Run] = deque()
        self._examples = [0, 0]
        self._lows = np.zeros(feature_count, dtype=np.int64)
        self._highs = np.zeros(feature_count, dtype=np.int64)
        self._counts = np.zeros((2, feature_count), dtype=np.int64)
        self._below = np.zeros((2, feature_count), dtype=np.int64)
        self._bracket = np.zeros(0, dtype=np.int64)

    @property
    def weights(self) -> Weights:
        """Examples by population and what each weighs."""
        return Weights(*self._examples)

    def enter(self, pane: Pane) -> None:
        """Add a pane at the window's end."""
        features = np.repeat(np.arange(pane.feature_count), _entries_of(pane))
        run = _Run(pane, keys_of(pane).astype(np.int64), features)
        self._runs.append(run)
        entering = self._count(run, +1)
        self._bracket = np.insert(self._bracket, np.searchsorted(self._bracket, entering), entering)

    def leave(self) -> None:
        """Take the oldest pane out.

        Raises:
            IndexError: there is none.
        """
        run = self._runs.popleft()
        leaving = self._count(run, -1)
        among_equals = np.arange(len(leaving)) - np.searchsorted(leaving, leaving)
        places = np.searchsorted(self._bracket, leaving) + among_equals
        self._bracket = np.delete(self._bracket, places)

    def importances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return importance and coverage of each feature, float64 [M] both."""
        weights = self.weights
        each = np.array([[weights.considered], [weights.displayed]])
        total = (self._counts * each).sum(axis=0)
        coverage = total / max(weights.total, 1)
        medians = self._medians(total, each)
        return np.where(total > 0, coverage * medians, 0.0), coverage

    def _medians(self, total: NDArray[np.int64], each: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the weighted medians; without meaning where a feature has no entries."""
        cumulative, before, after = self._brackets_weight(each)
        below = (self._below * each).sum(axis=0)
        is_outside = (2 * below >= total) | (2 * (below + after - before) <= total)
        if (is_outside & (total > 0)).any():
            self._bracket_anew(np.flatnonzero(is_outside & (total > 0)), each)
            cumulative, before, after = self._brackets_weight(each)
            below = (self._below * each).sum(axis=0)
        if not len(self._bracket):
            return np.zeros(len(total))
        at_least_half = np.searchsorted(cumulative, before - below + (total + 1) // 2)
        more_than_half = np.searchsorted(cumulative, before - below + total // 2 + 1)
        return (self._value_at(at_least_half) + self._value_at(more_than_half)) / 2

    def _brackets_weight(self, each: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        """Return the bracketed entries' cumulative weight, and it before and after each feature."""
        considered, displayed = each[:, 0]
        cumulative = np.zeros(len(self._bracket) + 1, dtype=np.int64)
        np.cumsum(considered + (displayed - considered) * (self._bracket & 1), out=cumulative[1:])
        starts = np.arange(len(self._lows) + 1) << _KEY_BITS
        bounds = cumulative[np.searchsorted(self._bracket, starts)]
        return cumulative[1:], bounds[:-1], bounds[1:]

    def _value_at(self, places: NDArray[np.intp]) -> NDArray[np.float64]:
        keys = self._bracket[np.minimum(places, len(self._bracket) - 1)] & _KEY
        return (keys >> 1).astype(np.uint32).view(np.float32).astype(np.float64)

    def _count(self, run: _Run, sign: int) -> NDArray[np.int64]:
        """Count the run in or out; return its entries in their features' brackets, sorted."""
        pane, entries = run.pane, _entries_of(run.pane)
        self._examples[run.row] += sign * pane.example_count
        self._counts[run.row] += sign * entries
        is_below = run.keys < np.repeat(self._lows, entries)
        is_within = ~is_below & (run.keys < np.repeat(self._highs, entries))
        under = np.zeros(len(is_below) + 1, dtype=np.int64)
        np.cumsum(is_below, out=under[1:])
        self._below[run.row] += sign * (under[pane.offsets[1:]] - under[pane.offsets[:-1]])
        within = np.flatnonzero(is_within)
        return np.sort((run.features[within] << _KEY_BITS) | run.keys[within])

    def _bracket_anew(self, features: NDArray[np.intp], each: NDArray[np.int64]) -> None:
        """Put these features' brackets around their medians."""
        is_kept = ~np.isin(self._bracket >> _KEY_BITS, features)
        parts = [self._bracket[is_kept]]
        parts += [self._bracketed(int(feature), each) for feature in features]
        self._bracket = np.sort(np.concatenate(parts))

    def _bracketed(self, feature: int, each: NDArray[np.int64]) -> NDArray[np.int64]:
        """Move one feature's bracket and return what lies in it."""
        keys = np.sort(np.concatenate([self._column(run, feature) for run in self._runs]))
        cumulative = np.cumsum(np.where(keys & 1, each[1, 0], each[0, 0]))
        middle = int(np.searchsorted(2 * cumulative, cumulative[-1]))
        beside = max(len(keys) // _SHARE_BESIDE, _FEWEST_BESIDE)
        first, last = middle - beside, middle + beside
        self._lows[feature] = keys[first] if first > 0 else 0
        self._highs[feature] = keys[last] + 1 if last < len(keys) else _KEY + 1
        start, end = np.searchsorted(keys, [self._lows[feature], self._highs[feature]])
        displayed = int(np.count_nonzero(keys[:start] & 1))
        self._below[:, feature] = start - displayed, displayed
        return (feature << _KEY_BITS) | keys[start:end]

    def _column(self, run: _Run, feature: int) -> NDArray[np.int64]:
        return run.keys[run.pane.offsets[feature] : run.pane.offsets[feature + 1]]


def _entries_of(pane: Pane) -> NDArray[np.int64]:
    """Return the number of entries of each feature, int64 [M]."""
    offsets = pane.offsets.astype(np.int64)
    return offsets[1:] - offsets[:-1]
