"""Equal values counted, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int16] | NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row r owns entries `[offsets[r], offsets[r + 1])`.

    `offsets` uint32 [rows + 1]; `keys` integers [entries], rising within a row; `counts` uint32
    [entries], never zero.
    """

    offsets: NDArray[np.uint32]
    keys: Keys
    counts: NDArray[np.uint32]


@dataclass(frozen=True)
class Runs:
    """How often each key occurs in each row: entries rise by row, then by key."""

    rows: NDArray[np.intp]
    keys: Keys
    counts: NDArray[np.intp]

    def where(self, kept: NDArray[np.bool_]) -> "Runs":
        """Return some of the entries."""
        return Runs(self.rows[kept], self.keys[kept], self.counts[kept])

    def totals(self, row_count: int) -> NDArray[np.int64]:
        """Return each row's counts added up."""
        return np.bincount(self.rows, weights=self.counts, minlength=row_count).astype(np.int64)

    def most_frequent(self, most: int) -> "Runs":
        """Return the `most` most frequent keys of each row; of equally frequent the smallest."""
        by_count = np.lexsort((-self.counts, self.rows))
        rows = self.rows[by_count]
        kept = np.zeros(len(rows), dtype=np.bool_)
        kept[by_count] = np.arange(len(rows)) - np.searchsorted(rows, rows) < most
        return self.where(kept)


def counted(ordered: Keys) -> Runs:
    """Return the runs of a matrix `[R, N]` whose rows are sorted."""
    width = ordered.shape[1]
    is_first = np.ones(ordered.shape, dtype=np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_first[:, 1:])
    firsts = np.flatnonzero(is_first)
    counts = np.diff(firsts, append=ordered.size)
    return Runs(firsts // max(width, 1), ordered.reshape(-1)[firsts], counts)


def stacked(parts: Sequence[Runs]) -> Runs:
    """Return runs of one row each as rows of int64, one after the other."""
    lengths = [len(part.keys) for part in parts]
    return Runs(
        np.repeat(np.arange(len(parts)), lengths),
        np.concatenate([np.zeros(0, np.int64), *(part.keys for part in parts)]),
        np.concatenate([np.zeros(0, np.intp), *(part.counts for part in parts)]),
    )


def ragged(parts: Sequence[tuple[Runs, NDArray[np.intp]]]) -> Ragged:
    """Return all rows of the parts; each part comes with its rows' places among them."""
    row_count = sum(len(places) for _, places in parts)
    rows = [places[runs.rows] for runs, places in parts]
    lengths = np.bincount(np.concatenate(rows), minlength=row_count)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    keys = np.empty(offsets[-1], dtype=parts[0][0].keys.dtype)
    counts = np.empty(offsets[-1], dtype=np.uint32)
    for (runs, _), row in zip(parts, rows, strict=True):
        entries = offsets[row] + np.arange(len(row)) - np.searchsorted(runs.rows, runs.rows)
        keys[entries], counts[entries] = runs.keys, runs.counts
    return Ragged(offsets.astype(np.uint32), keys, counts)
