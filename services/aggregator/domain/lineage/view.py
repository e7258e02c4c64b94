"""The lineage graph as it was at one time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.edges import EdgeTable
from services.aggregator.domain.lineage.errors import NodeNotFound
from services.aggregator.domain.lineage.index import Adjacency, Index
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.registry import NodeRegistry


class Direction(Enum):
    """Along the edges, or against them."""

    DOWNSTREAM = "DOWNSTREAM"
    UPSTREAM = "UPSTREAM"


@dataclass(frozen=True, eq=False)
class Steps:
    """Edges from some nodes to their neighbours.

    `places` intp [E]: positions among those nodes, rising; `nodes` intp [E]: the neighbours;
    `strengths` float64 [E].
    """

    places: NDArray[np.intp]
    nodes: NDArray[np.intp]
    strengths: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Steps":
        """Return some of the steps."""
        return Steps(self.places[chosen], self.nodes[chosen], self.strengths[chosen])


@dataclass(frozen=True, eq=False)
class GraphView:
    """Edges that were there at `time`, in microseconds."""

    nodes: NodeRegistry
    edges: EdgeTable
    indexes: Sequence[Index]
    """That together have all rows, the oldest rows first."""
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

    def steps(self, nodes: NDArray[np.intp], direction: Direction) -> Steps:
        """Return the edges from these nodes, intp [K], in that direction."""
        found = [self._steps_by(index, nodes, direction) for index in self.indexes]
        if len(found) == 1:
            return found[0]
        places = np.concatenate([steps.places for steps in found])
        order = np.argsort(places, kind="stable")
        return Steps(
            places[order],
            np.concatenate([steps.nodes for steps in found])[order],
            np.concatenate([steps.strengths for steps in found])[order],
        )

    def rows_from(self, nodes: NDArray[np.intp]) -> NDArray[np.int32]:
        """Return the rows of the edges that leave these nodes, intp [K]."""
        found = (self._slots(index.out, nodes) for index in self.indexes)
        rows = [
            index.out.rows[slots] for index, (_, slots) in zip(self.indexes, found, strict=True)
        ]
        return np.concatenate(rows)

    def _steps_by(self, index: Index, nodes: NDArray[np.intp], direction: Direction) -> Steps:
        adjacency = index.out if direction is Direction.DOWNSTREAM else index.into
        places, slots = self._slots(adjacency, nodes)
        return Steps(places, adjacency.neighbours.take(slots), adjacency.strength.take(slots))

    def _slots(
        self, adjacency: Adjacency, nodes: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return positions in `nodes`, rising, and the slots of edges that are there."""
        places, slots = adjacency.slots_of(nodes)
        valid = (adjacency.start.take(slots) <= self.time) & (adjacency.end.take(slots) > self.time)
        return (places, slots) if valid.all() else (places[valid], slots[valid])


def strongest(steps: Steps, count: int) -> tuple[Steps, bool]:
    """Return at most `count` steps from each place, the strongest, and whether some were left out.

    Of equally strong ones the first stay.
    """
    if len(steps.places) <= count:
        return steps, False
    is_wide = np.bincount(steps.places) > count
    if not is_wide.any():
        return steps, False
    wide = np.flatnonzero(is_wide[steps.places])
    order = wide[np.lexsort((-steps.strengths[wide], steps.places[wide]))]
    places = steps.places[order]
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    nth = np.arange(len(places)) - np.repeat(firsts, np.diff(np.append(firsts, len(places))))
    kept = np.ones(len(steps.places), np.bool_)
    kept[order[nth >= count]] = False
    return steps.where(kept), True


def numbers_of(view: GraphView, nodes: Sequence[NodeId], field: str) -> NDArray[np.intp]:
    """Return the nodes' numbers, intp [N]; `field` is the request field that lists them.

    Raises:
        NodeNotFound: nobody told of one.
    """
    return np.array(
        [view.number(node, f"{field}[{place}]") for place, node in enumerate(nodes)], np.intp
    )
