"""All edges that ever were, one row for each stretch of time in which one was there."""

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.spans import Span

NONE = -1
ROW = np.dtype(
    [
        *((name, np.int32) for name in ("source", "target", "provenance", "transform")),
        *((name, np.float32) for name in ("declared", "measured", "strength")),
        *((name, np.int32) for name in ("same", "into", "out")),
        *((name, np.int64) for name in ("start", "end", "last")),
    ]
)
"""`same`, `into`, `out`: the next row of the same two nodes, the same target, the same source.
Where nothing is declared or measured, there is NaN."""


class EdgeTable:
    """Rows that are only ever appended; times and strengths change in place, by `set_span` and
    `set_strength`, so that indexes of them can follow.

    Rows of one edge by one sender are apart in time and linked with those of other senders.
    """

    def __init__(self) -> None:
        self.count = 0
        self.rows: NDArray[np.void] = np.zeros(1024, ROW)
        self._pairs: dict[int, int] = {}
        self._into: dict[int, int] = {}
        self._out: dict[int, int] = {}
        self._indexed = 0
        self._changed: list[int] = []
        self._forgotten = 0
        self._name_columns()

    def column(self, name: str) -> NDArray[np.generic]:
        """Return one column of all rows, as a view."""
        return self.rows[name][: self.count]

    def between(self, source: int, target: int) -> list[int]:
        """Return the rows of an edge, by all senders."""
        return self._chain(self._pairs.get(_pair(source, target), NONE), self.same)

    def into(self, target: int) -> list[int]:
        """Return the rows of all edges into a node."""
        return self._chain(self._into.get(target, NONE), self._next_into)

    def out(self, source: int) -> list[int]:
        """Return the rows of all edges from a node."""
        return self._chain(self._out.get(source, NONE), self._next_out)

    def append(self, source: int, target: int, provenance: int, span: Span) -> int:
        """Add a row and return its number; transform and strength are still to be set."""
        row = self.count
        if row == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
            self._name_columns()
        pair = _pair(source, target)
        self.rows[row] = (
            *(source, target, provenance, 0, np.nan, np.nan, np.nan),
            *(self._pairs.get(pair, NONE), self._into.get(target, NONE)),
            *(self._out.get(source, NONE), span.start, span.end, span.last),
        )
        self._pairs[pair] = self._into[target] = self._out[source] = row
        self.count += 1
        return row

    def load(self, rows: NDArray[np.void]) -> None:
        """Take over rows, of which the links are made anew, into an empty table."""
        self.count = len(rows)
        self.rows = np.zeros(max(1024, len(rows)), ROW)
        self.rows[: len(rows)] = rows
        self._name_columns()
        sources, targets = rows["source"].tolist(), rows["target"].tolist()
        links = []
        for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
            pair = _pair(source, target)
            links.append(
                (
                    self._pairs.get(pair, NONE),
                    self._into.get(target, NONE),
                    self._out.get(source, NONE),
                )
            )
            self._pairs[pair] = self._into[target] = self._out[source] = row
        self.rows[["same", "into", "out"]][: len(rows)] = links

    def span(self, row: int) -> Span:
        """Return when the edge of a row was there."""
        return Span(int(self.start[row]), int(self.end[row]), int(self.last[row]))

    def set_span(self, row: int, span: Span) -> None:
        """Change when the edge of a row was there."""
        moved = self.start[row] != span.start or self.end[row] != span.end
        self.start[row], self.end[row], self.last[row] = span.start, span.end, span.last
        if moved:
            self._note(row)

    def set_strength(self, row: int, strength: float) -> None:
        """Change how strong the edge of a row is."""
        self.strength[row] = strength
        self._note(row)

    def begin_index(self) -> tuple[int, int]:
        """Return how many changes there were, and how many rows there are.

        From now on changes of these rows are noted.
        """
        changes = self._forgotten + len(self._changed)
        self._indexed = max(self._indexed, self.count)
        return changes, self.count

    def changed_since(self, known: int) -> NDArray[np.intp]:
        """Return the rows whose times or strengths changed after so many changes, in order."""
        return np.array(self._changed[known - self._forgotten :], np.intp)

    def forget_changes(self, known: int) -> None:
        """Forget that many changes: nobody asks for them again."""
        del self._changed[: known - self._forgotten]
        self._forgotten = known

    @property
    def noted(self) -> int:
        """How many changes are remembered."""
        return len(self._changed)

    def _note(self, row: int) -> None:
        if row < self._indexed:
            self._changed.append(row)

    def _name_columns(self) -> None:
        rows = self.rows
        self.source, self.target, self.provenance = (
            rows[name] for name in ("source", "target", "provenance")
        )
        self.transform, self.same = rows["transform"], rows["same"]
        self._next_into, self._next_out = rows["into"], rows["out"]
        self.declared, self.measured, self.strength = (
            rows[name] for name in ("declared", "measured", "strength")
        )
        self.start, self.end, self.last = rows["start"], rows["end"], rows["last"]

    @staticmethod
    def _chain(row: int, following: NDArray[np.int32]) -> list[int]:
        rows = []
        while row != NONE:
            rows.append(row)
            row = int(following[row])
        return rows


def _pair(source: int, target: int) -> int:
    return source << 32 | target
