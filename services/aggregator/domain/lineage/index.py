"""Rows by the node that they leave, and by the node that they enter, as compressed sparse rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Node v has the rows `rows[offsets[v]:offsets[v + 1]]`, in the order of their numbers.

    `offsets` int64 [nodes + 1], `rows` int32.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]

    @classmethod
    def of(cls, ends: NDArray[np.int32], first_row: int, nodes: int) -> Self:
        """Sort rows, the first of which is number `first_row`, by the node at one end."""
        offsets = np.zeros(nodes + 1, np.int64)
        np.cumsum(np.bincount(ends, minlength=nodes), out=offsets[1:])
        order = np.argsort(ends, kind="stable")
        return cls(offsets, (order + first_row).astype(np.int32))

    def rows_of(self, nodes: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return positions in `nodes`, rising, and the rows of the nodes there."""
        places = np.arange(len(nodes))
        if len(nodes) and nodes.max() >= len(self.offsets) - 1:
            places = np.flatnonzero(nodes < len(self.offsets) - 1)
            nodes = nodes[places]
        starts = self.offsets[nodes]
        counts = self.offsets[nodes + 1] - starts
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        positions = np.arange(total) + np.repeat(starts - ends + counts, counts)
        return np.repeat(places, counts), self.rows[positions]


@dataclass(frozen=True, eq=False)
class Index:
    """Both directions of the rows from `first_row` to before `end_row`."""

    first_row: int
    end_row: int
    out: Adjacency
    into: Adjacency

    @classmethod
    def of(
        cls, source: NDArray[np.int32], target: NDArray[np.int32], first_row: int, nodes: int
    ) -> Self:
        """Index the rows from `first_row` on of all sources and targets."""
        return cls(
            first_row,
            len(source),
            Adjacency.of(source[first_row:], first_row, nodes),
            Adjacency.of(target[first_row:], first_row, nodes),
        )
