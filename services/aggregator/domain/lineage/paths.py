"""Ways through the graph that explain a node."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.reach import Reach


class LineagePath(NamedTuple):
    """Nodes in the direction of the edges, and the product of the strengths of the edges."""

    nodes: Sequence[NodeId]
    strength: float


class Way(NamedTuple):
    """Numbers of nodes from an origin of a reach on."""

    nodes: list[int]
    strength: float


def ways_to(reached: Reach, positions: NDArray[np.intp], depth: int, count: int) -> list[list[Way]]:
    """Return for each position the strongest path to it, and others by other last edges.

    At most `count` each, the strongest first, none longer than `depth` edges or through a node
    twice.
    """
    firsts = zip(reached.paths(positions), reached.strengths[positions].tolist(), strict=True)
    ways = [[Way(nodes, strength)] for nodes, strength in firsts]
    if count > 1:
        _add_others(ways, reached, positions, depth, count)
    return ways


def _add_others(
    ways: list[list[Way]], reached: Reach, positions: NDArray[np.intp], depth: int, count: int
) -> None:
    place_of = np.full(len(reached.nodes), -1, np.intp)
    place_of[positions] = np.arange(len(positions))
    edges = np.flatnonzero(place_of[reached.targets] >= 0)
    sources, places = reached.sources[edges], place_of[reached.targets[edges]]
    strengths = reached.strengths[sources] * reached.edge_strengths[edges]
    kept = _first_of_each(places, strengths, 2 * count)
    before = reached.paths(sources[kept])
    rest = zip(places[kept].tolist(), before, strengths[kept].tolist(), strict=True)
    for place, nodes, strength in rest:
        known = ways[place]
        if len(known) == count or len(nodes) > depth:
            continue
        node = known[0].nodes[-1]
        way = [*nodes, node]
        if node not in nodes and all(way != other.nodes for other in known):
            known.append(Way(way, strength))


def _first_of_each(
    places: NDArray[np.intp], strengths: NDArray[np.float64], count: int
) -> NDArray[np.intp]:
    """Return at most so many of each place, by place, the strongest first."""
    order = np.lexsort((-strengths, places))
    ordered = places[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    nth = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    return order[nth < count]
