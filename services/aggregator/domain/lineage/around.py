"""The part of the graph around a node."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.reach import Bounds, Truncation, reach
from services.aggregator.domain.lineage.view import Direction, GraphView

_ALL_EDGES = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Nodes near one, the nearest first, and the edges between them.

    `nodes` intp [K], beginning with that one; `distances` int16 [K], negative upstream; `rows`
    int32 [E] of the edges.
    """

    nodes: NDArray[np.intp]
    distances: NDArray[np.int16]
    rows: NDArray[np.int32]
    truncation: Truncation


def around(
    view: GraphView, node: int, directions: Sequence[Direction], depth: int, limit: int
) -> Neighbourhood:
    """Return what lies within `depth` edges of a node; of more than `limit` nodes, the nearest.

    What lies both ways, in a cycle, is told of by the shorter one, downstream if they are the same.
    """
    nodes, distances = np.array([node], np.intp), np.zeros(1, np.int16)
    goes_on = False
    for direction in directions:
        found = reach(view, nodes[:1], direction, Bounds(depth, _ALL_EDGES))
        sign = 1 if direction is Direction.DOWNSTREAM else -1
        nodes = np.concatenate([nodes, found.nodes[1:]])
        distances = np.concatenate([distances, sign * found.distances[1:]])
        goes_on |= found.truncation.depth
    order = np.lexsort((-distances, np.abs(distances)))
    _, firsts = np.unique(nodes[order], return_index=True)
    order = order[np.sort(firsts)]
    kept = order[:limit]
    return Neighbourhood(
        nodes=nodes[kept],
        distances=distances[kept],
        rows=_between(view, nodes[kept]),
        truncation=Truncation(depth=goes_on, size=len(kept) < len(order)),
    )


def _between(view: GraphView, nodes: NDArray[np.intp]) -> NDArray[np.int32]:
    rows = view.rows_from(nodes)
    inside = np.zeros(len(view.nodes), np.bool_)
    inside[nodes] = True
    between: NDArray[np.int32] = rows[inside[view.edges.target[rows]]]
    return between
