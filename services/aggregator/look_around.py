"""The graph around a node is shown."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.aggregator.domain.lineage.around import around
from services.aggregator.domain.lineage.facts import Node, Transform
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.reach import Bounds, Truncation, reach
from services.aggregator.domain.lineage.spans import FOREVER, moment
from services.aggregator.domain.lineage.strength import StrengthBasis
from services.aggregator.domain.lineage.view import Direction, GraphView
from services.aggregator.follow_lineage import FollowLineage

_ALL_EDGES = 2**31 - 1


@dataclass(frozen=True)
class ShownEdge:
    """An edge that was there at the time in question."""

    source: NodeId
    target: NodeId
    transform: Transform
    strength: float
    basis: StrengthBasis
    provenance: str
    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True)
class Surroundings:
    """Nodes near one, beginning with it, and the edges between them."""

    nodes: Sequence[tuple[Node, int]]
    """With their distances, negative upstream; the nearest first."""
    edges: Sequence[ShownEdge]
    truncation: Truncation


@dataclass(frozen=True)
class LookAround:
    """Shows what lies up and down the graph."""

    follow: FollowLineage
    clock: Callable[[], datetime]

    async def __call__(
        self,
        node: NodeId,
        directions: Sequence[Direction],
        depth: int,
        as_of: datetime | None = None,
        limit: int = 1000,
    ) -> Surroundings:
        """Return what lies within `depth` edges of a node, the graph being taken as it was then.

        Raises:
            NodeNotFound: nobody told of the node.
        """

        def show(graph: LineageGraph) -> Surroundings:
            view = graph.at(as_of or self.clock())
            found = around(view, view.number(node, "node"), directions, depth, limit)
            return Surroundings(
                nodes=[
                    (graph.nodes.details(number), distance)
                    for number, distance in zip(
                        found.nodes.tolist(), found.distances.tolist(), strict=True
                    )
                ],
                edges=[_shown(graph, row) for row in found.rows.tolist()],
                truncation=found.truncation,
            )

        return await self.follow(show)


@dataclass(frozen=True)
class LookUpstream:
    """Implements Upstream: says what feeds what."""

    follow: FollowLineage

    async def __call__(
        self, nodes: Collection[NodeId], depth: int, as_of: datetime
    ) -> Mapping[NodeId, int]:
        """Return all nodes at most `depth` edges upstream of these, with the fewest edges to them.

        These are among them, at 0, whether anybody knows them or not.
        """
        return await self.follow(lambda graph: _upstream(graph.at(as_of), nodes, depth))


def _upstream(view: GraphView, nodes: Collection[NodeId], depth: int) -> Mapping[NodeId, int]:
    numbers = {view.nodes.find(node) for node in nodes} - {None}
    origins = np.array([number for number in numbers if number is not None], np.intp)
    found = reach(view, origins, Direction.UPSTREAM, Bounds(depth, _ALL_EDGES))
    ids = view.nodes.ids(found.nodes.tolist())
    return {**dict.fromkeys(nodes, 0), **dict(zip(ids, found.distances.tolist(), strict=True))}


def _shown(graph: LineageGraph, row: int) -> ShownEdge:
    table = graph.edges
    basis = StrengthBasis.ASSUMED
    if not np.isnan(table.measured[row]):
        basis = StrengthBasis.MEASURED
    elif not np.isnan(table.declared[row]):
        basis = StrengthBasis.DECLARED
    span = table.span(row)
    return ShownEdge(
        source=graph.nodes.id(int(table.source[row])),
        target=graph.nodes.id(int(table.target[row])),
        transform=graph.transforms[int(table.transform[row])],
        strength=float(table.strength[row]),
        basis=basis,
        provenance=graph.provenances[int(table.provenance[row])],
        valid_from=moment(span.start),
        valid_until=None if span.end == FOREVER else moment(span.end),
    )
