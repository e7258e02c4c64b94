"""Importances over the latest examples, kept up to date pane by pane.

One pane enters, the oldest leaves, and most of the window stays: its columns need not be sorted
anew. For each feature we keep how many entries lie under a bracket, and those within it in order:
a few per cent of the column around its weighted median. An entry that enters or leaves changes a
count, or a place in the bracket. The median is then looked up in the bracket; when it has wandered
out, that one column is bracketed anew from its panes. The result is the same, to the last bit, as
that of `gfi.importances` over all panes. Standard errors are those of `bootstrap.standard_errors`:
nearly all resamples have their medians in the bracket too, and a column of which one does not is
put together whole, and bracketed anew.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.bootstrap import BeyondKeys, standard_error
from services.aggregator.domain.gfi import Column, Weights, keys_of

_KEY_BITS = 32
_KEY = (1 << _KEY_BITS) - 1
_FEWEST_BESIDE = 32
_SHARE_BESIDE = 32


@dataclass(frozen=True, eq=False)
class _Run:
    """A pane and its entries on their way in or out."""

    pane: Pane

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """As in gfi.Column, int64 [entries]."""
        return keys_of(self.pane).astype(np.int64)

    @cached_property
    def features(self) -> NDArray[np.int64]:
        """Whose column each is in, int64 [entries]."""
        return np.repeat(np.arange(self.pane.feature_count), _entries_of(self.pane))

    @property
    def row(self) -> int:
        """Where counts of its population stand."""
        return int(self.pane.population is Population.DISPLAYED)


class SlidingWindow:
    """The panes of a window by count, by whatever names them, and their importances.

    `lows` and `highs` int64 [M]: the keys that each feature's bracket begins with and ends before.
    `counts` and `below` int64 [2, M]: considered and displayed entries, in all and under the
    bracket. `bracket` int64 [n], sorted: feature and key of the entries within.
    """

    def __init__(self, feature_count: int) -> None:
        self._panes: dict[Hashable, Pane] = {}
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

    @property
    def names(self) -> Collection[Hashable]:
        """Of the panes that are in it."""
        return self._panes.keys()

    @property
    def panes(self) -> Sequence[Pane]:
        """The panes that are in it."""
        return list(self._panes.values())

    def enter(self, name: Hashable, pane: Pane) -> None:
        """Add a pane."""
        self._panes[name] = pane
        entering = self._count(_Run(pane), +1)
        self._bracket = np.insert(self._bracket, np.searchsorted(self._bracket, entering), entering)

    def leave(self, name: Hashable) -> None:
        """Take a pane out.

        Raises:
            KeyError: it is not in.
        """
        leaving = self._count(_Run(self._panes.pop(name)), -1)
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

    def standard_errors(self, resamples: int, seed: int) -> NDArray[np.float64]:
        """Return the bootstrap standard error of each feature's importance, float64 [M]."""
        self.importances()
        starts = np.arange(len(self._lows) + 1) << _KEY_BITS
        bounds = np.searchsorted(self._bracket, starts)
        errors, off_centre = np.zeros(len(self._lows)), list[int]()
        for j in range(len(errors)):
            column = self._middle(j, self._bracket[bounds[j] : bounds[j + 1]] & _KEY)
            try:
                errors[j] = standard_error(column, resamples, seed, j)
            except BeyondKeys:
                whole = Column(np.sort(self._column(j)), self.weights)
                errors[j] = standard_error(whole, resamples, seed, j)
                off_centre.append(j)
        if off_centre:
            each = np.array([[self.weights.considered], [self.weights.displayed]])
            self._bracket_anew(np.array(off_centre), each)
        return errors

    def _middle(self, feature: int, keys: NDArray[np.int64]) -> Column:
        """Return the part of a column that is in its bracket."""
        displayed = int(np.count_nonzero(keys & 1))
        within = np.array([len(keys) - displayed, displayed])
        below = self._below[:, feature]
        above = self._counts[:, feature] - below - within
        return Column(
            keys.astype(np.uint32),
            self.weights,
            below=(int(below[0]), int(below[1])),
            above=(int(above[0]), int(above[1])),
        )

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
        keys = np.sort(self._column(feature)).astype(np.int64)
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

    def _column(self, feature: int) -> NDArray[np.uint32]:
        """Return one feature's keys, unsorted."""
        parts = []
        for pane in self._panes.values():
            values = pane.values[pane.offsets[feature] : pane.offsets[feature + 1]]
            is_displayed = np.uint32(pane.population is Population.DISPLAYED)
            parts.append((values.view(np.uint32) << np.uint32(1)) | is_displayed)
        return np.concatenate(parts)


def _entries_of(pane: Pane) -> NDArray[np.int64]:
    """Return the number of entries of each feature, int64 [M]."""
    offsets = pane.offsets.astype(np.int64)
    return offsets[1:] - offsets[:-1]
