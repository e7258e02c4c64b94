"""Edges by the node that they leave, and by the node that they enter, as compressed sparse rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.edges import EdgeTable
from services.aggregator.domain.lineage.registry import NodeRegistry


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Node v has the slots from `offsets[v]` to before `offsets[v + 1]`, by number of their rows.

    `offsets` int64 [nodes + 1]. By slot: `rows` int32; `neighbours` intp, the nodes at the other
    end; `start` and `end` int64, `strength` float64, as the table has them. They are copies, so
    that what is looked at together lies together in memory. `slots` int32: by row, from `first_row`
    on.
    """

    first_row: int
    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    slots: NDArray[np.int32]
    neighbours: NDArray[np.intp]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strength: NDArray[np.float64]

    @classmethod
    def of(cls, table: EdgeTable, ends: tuple[str, str], rows: tuple[int, int], nodes: int) -> Self:
        """Sort rows, from the first to before the last, by the node at the first of the ends."""
        first, last = rows
        # What the table is made of may be replaced meanwhile by what has more room.
        kept = table.rows[first:last]
        near, far = (kept[end] for end in ends)
        offsets = np.zeros(nodes + 1, np.int64)
        np.cumsum(np.bincount(near, minlength=nodes), out=offsets[1:])
        order = np.argsort(near, kind="stable")
        slots = np.empty(len(order), np.int32)
        slots[order] = np.arange(len(order))
        return cls(
            first_row=first,
            offsets=offsets,
            rows=(order + first).astype(np.int32),
            slots=slots,
            neighbours=far[order].astype(np.intp),
            start=kept["start"][order],
            end=kept["end"][order],
            strength=kept["strength"][order].astype(np.float64),
        )

    def refresh(self, table: EdgeTable, rows: NDArray[np.intp]) -> None:
        """Copy the times and strengths of some of the rows again."""
        slots = self.slots[rows - self.first_row]
        self.start[slots], self.end[slots] = table.start[rows], table.end[rows]
        self.strength[slots] = table.strength[rows]

    def slots_of(self, nodes: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return positions in `nodes`, rising, and the slots of the nodes there."""
        places = np.arange(len(nodes))
        if len(nodes) and nodes.max() >= len(self.offsets) - 1:
            places = np.flatnonzero(nodes < len(self.offsets) - 1)
            nodes = nodes[places]
        starts = self.offsets.take(nodes)
        counts = self.offsets[1:].take(nodes) - starts
        ends = np.cumsum(counts)
        found = np.repeat(np.arange(len(nodes)), counts)
        slots = np.arange(len(found)) + (starts - ends + counts).take(found)
        return places.take(found), slots


@dataclass(eq=False)
class Index:
    """Both directions of the rows from `first_row` to before `end_row`."""

    first_row: int
    end_row: int
    known: int
    """Changes of the table that it has taken in."""
    out: Adjacency
    into: Adjacency

    @classmethod
    def of(cls, table: EdgeTable, first_row: int, nodes: NodeRegistry) -> Self:
        """Index the rows from `first_row` on; meanwhile others may come, and these may change."""
        known, end_row = table.begin_index()
        # In this order: no row that is counted names a node that is not.
        count, rows = len(nodes), (first_row, end_row)
        return cls(
            first_row,
            end_row,
            known,
            Adjacency.of(table, ("source", "target"), rows, count),
            Adjacency.of(table, ("target", "source"), rows, count),
        )

    def follow(self, table: EdgeTable) -> None:
        """Take in what has changed of the rows since."""
        changed = table.changed_since(self.known)
        self.known += len(changed)
        ours = changed[(self.first_row <= changed) & (changed < self.end_row)]
        if len(ours):
            self.out.refresh(table, ours)
            self.into.refresh(table, ours)
