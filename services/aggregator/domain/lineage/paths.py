"""Ways through the graph that explain a node."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.reach import Reach


@dataclass(frozen=True)
class LineagePath:
    """Nodes in the direction of the edges, and the product of the strengths of the edges."""

    nodes: Sequence[NodeId]
    strength: float


@dataclass(frozen=True)
class Way:
    """Numbers of nodes from an origin of a reach on."""

    nodes: Sequence[int]
    strength: float


def ways_to(
    reached: Reach, positions: NDArray[np.intp], depth: int, count: int
) -> Iterator[list[Way]]:
    """Return for each position the strongest path to it, and others by other last edges.

    At most `count` each, the strongest first, none longer than `depth` edges or through a node
    twice.
    """
    wanted = np.zeros(len(reached.nodes), np.bool_)
    wanted[positions] = True
    edges = np.flatnonzero(wanted[reached.targets]) if count > 1 else np.zeros(0, np.intp)
    strengths = reached.strengths[reached.sources[edges]] * reached.edge_strengths[edges]
    order = np.lexsort((-strengths, reached.targets[edges]))
    edges, strengths = edges[order], strengths[order]
    targets = reached.targets[edges]
    starts, ends = (np.searchsorted(targets, positions, side) for side in ("left", "right"))
    for position, start, end in zip(positions, starts, ends, strict=True):
        ways = [Way(reached.path(position), float(reached.strengths[position]))]
        node = ways[0].nodes[-1]
        for edge, strength in zip(edges[start:end], strengths[start:end], strict=True):
            if len(ways) >= count:
                break
            before = reached.path(int(reached.sources[edge]))
            nodes = [*before, node]
            is_new = all(way.nodes != nodes for way in ways)
            if len(before) <= depth and node not in before and is_new:
                ways.append(Way(nodes, float(strength)))
        yield ways
