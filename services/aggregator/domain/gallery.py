"""Portraits of windows hung side by side: any two compared, and each with what is usual.

The *usual* window of a group is the mean of its windows. Each of them is held against the mean of
the others, lest it be compared with itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.portrait import Frame, Portrait
from services.aggregator.domain.shares import Shares, Table, distances, tables
from services.aggregator.domain.signals import Signals

_Row = NDArray[np.floating[Any]]
_View = Sequence[_Row]
"""A portrait's importances, coverages, LFIs, correlations, and its row of every table."""
_DENSE = 4
_Precision = type[np.float64] | type[np.float32]


@dataclass(frozen=True, eq=False)
class Group:
    """Windows that are alike: how far each is from the usual one, and the usual window."""

    from_usual: Sequence[Signals]
    usual: Portrait


@dataclass(frozen=True, eq=False)
class Gallery:
    """Portraits in one frame, and the shares of their values."""

    frame: Frame
    portraits: Sequence[Portrait]
    tables: Sequence[Table]

    @classmethod
    def of(cls, frame: Frame, portraits: Sequence[Portrait]) -> "Gallery":
        """Hang these portraits."""
        shares = [portrait.shares for portrait in portraits]
        return cls(frame, portraits, tables(shares, len(frame.distribution_owners)))

    def changes(self, one: int, other: int) -> Signals:
        """Return the signals between two of the portraits."""
        return self._changes(self._view(one), self._view(other))

    def group(self, places: Sequence[int]) -> Group:
        """Return what is unusual about each of some portraits, by the mean of the others."""
        views = [self._view(place) for place in places]
        # Shares are of their sums' order: float32 is enough to take one window's away again.
        precisions = [np.float64] * _DENSE + [np.float32] * len(self.tables)
        parts = list(map(_Part.of, zip(*views, strict=True), precisions))
        from_usual = [
            self._changes(view, [p.without(row) for p, row in zip(parts, view, strict=True)])
            for view in views
        ]
        return Group(from_usual, self._portrait([part.mean for part in parts]))

    def _view(self, place: int) -> _View:
        hung = self.portraits[place]
        values = [table.rows[place] for table in self.tables]
        return [hung.gfi, hung.coverage, hung.lfis, hung.correlations, *values]

    def _portrait(self, view: _View) -> Portrait:
        gfi, coverage, lfis, correlations, *values = view
        places = [table.places for table in self.tables]
        is_known = bool(values) and not np.isnan(values[0][0])
        return Portrait(
            gfi=np.asarray(gfi, dtype=np.float64),
            coverage=np.asarray(coverage, dtype=np.float64),
            lfis=lfis.astype(np.float32),
            correlations=correlations.astype(np.float32),
            shares=Shares(np.concatenate(places), np.concatenate(values)) if is_known else None,
        )

    def _changes(self, one: _View, other: _View) -> Signals:
        apart = [_apart(a, b) for a, b in zip(one[:_DENSE], other[:_DENSE], strict=True)]
        gfi, coverage, lfis, correlations = apart
        values = [
            distances(a, b, table.starts)
            for table, a, b in zip(self.tables, one[_DENSE:], other[_DENSE:], strict=True)
        ]
        return np.stack(
            [
                lfis.mean(axis=1),
                gfi,
                coverage,
                self.frame.largest_of_distributions(np.concatenate([np.zeros(0), *values])),
                self.frame.largest_of_proxies(correlations),
            ]
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """One part of several views, added up where it is known, and of how many it is."""

    sums: _Row
    counts: _Row

    @classmethod
    def of(cls, rows: Sequence[_Row], dtype: _Precision) -> "_Part":
        stacked = np.stack(rows)
        sums = stacked.sum(axis=0, dtype=np.float64)
        counts = np.array(len(rows))
        if np.isnan(sums).any():
            sums = np.nansum(stacked, axis=0, dtype=np.float64)
            counts = np.count_nonzero(~np.isnan(stacked), axis=0)
        return cls(sums.astype(dtype), counts.astype(dtype))

    @property
    def mean(self) -> _Row:
        return _divided(self.sums, self.counts)

    def without(self, row: _Row) -> _Row:
        """Return the mean of the others than this one, where it is known."""
        return _divided(self.sums - row, self.counts - 1)


def _divided(sums: _Row, counts: _Row) -> _Row:
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts)


def _apart(one: _Row, other: _Row) -> NDArray[np.float64]:
    return np.abs(np.subtract(one, other, dtype=np.float64))
