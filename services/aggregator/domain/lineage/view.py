"""The lineage graph as it was at one time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.edges import EdgeTable
from services.aggregator.domain.lineage.errors import NodeNotFound
from services.aggregator.domain.lineage.index import Index
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.registry import NodeRegistry


class Direction(Enum):
    """Along the edges, or against them."""

    DOWNSTREAM = "DOWNSTREAM"
    UPSTREAM = "UPSTREAM"


@dataclass(frozen=True, eq=False)
class Steps:
    """Edges from some nodes to their neighbours.

    `places` intp [E]: positions among those nodes, rising; `rows` int32 [E] of the edges; `nodes`
    int32 [E]: the neighbours; `strengths` float64 [E].
    """

    places: NDArray[np.intp]
    rows: NDArray[np.int32]
    nodes: NDArray[np.int32]
    strengths: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Steps":
        """Return some of the steps."""
        return Steps(
            self.places[chosen], self.rows[chosen], self.nodes[chosen], self.strengths[chosen]
        )


@dataclass(frozen=True, eq=False)
class GraphView:
    """Edges that were there at `time`, in microseconds."""

    nodes: NodeRegistry
    edges: EdgeTable
    indexes: tuple[Index, Index]
    time: int

    def number(self, node: NodeId, field: str | None = None) -> int:
        """Return the node's number.

        Raises:
            NodeNotFound: nobody told of it.
        """
        number = self.nodes.find(node)
        if number is None:
            raise NodeNotFound(str(node), field)
        return number

    def steps(self, nodes: NDArray[np.int32], direction: Direction) -> Steps:
        """Return the edges from these nodes in that direction."""
        large, small = self.indexes
        places, rows = self._rows_of(large, nodes, direction)
        if small.end_row > small.first_row:
            more_places, more_rows = self._rows_of(small, nodes, direction)
            places, rows = np.concatenate([places, more_places]), np.concatenate([rows, more_rows])
            order = np.argsort(places, kind="stable")
            places, rows = places[order], rows[order]
        table = self.edges
        ends = table.target if direction is Direction.DOWNSTREAM else table.source
        return Steps(places, rows, ends[rows], table.strength[rows].astype(np.float64))

    def _rows_of(
        self, index: Index, nodes: NDArray[np.int32], direction: Direction
    ) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        adjacency = index.out if direction is Direction.DOWNSTREAM else index.into
        places, rows = adjacency.rows_of(nodes)
        valid = (self.edges.start[rows] <= self.time) & (self.time < self.edges.end[rows])
        return places[valid], rows[valid]


def strongest(steps: Steps, count: int) -> tuple[Steps, bool]:
    """Return at most `count` steps from each place, the strongest, and whether some were left out.

    Of equally strong ones the first stay.
    """
    if len(steps.places) <= count or np.bincount(steps.places).max() <= count:
        return steps, False
    order = np.lexsort((-steps.strengths, steps.places))
    places = steps.places[order]
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    nth = np.arange(len(places)) - np.repeat(firsts, np.diff(np.append(firsts, len(places))))
    return steps.where(np.sort(order[nth < count])), True


def numbers_of(view: GraphView, nodes: Sequence[NodeId], field: str) -> NDArray[np.int32]:
    """Return the nodes' numbers, int32 [N]; `field` is the request field that lists them.

    Raises:
        NodeNotFound: nobody told of one.
    """
    return np.array(
        [view.number(node, f"{field}[{place}]") for place, node in enumerate(nodes)], np.int32
    )
