"""Graphs at random, as facts and as networkx has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from services.aggregator.domain.lineage.facts import Edge, LineageFacts
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind
from services.aggregator.domain.lineage.observations import Observations
from services.aggregator.domain.lineage.view import GraphView

DAY = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def dataset(number: int) -> NodeId:
    return NodeId(NodeKind.DATASET, "lake", f"d{number}")


def told(edges: Sequence[Edge], *, key: str = "a", sender: str = "test") -> LineageFacts:
    return LineageFacts(key, sender, DAY, edges=edges)


def graph_of(*facts: LineageFacts) -> LineageGraph:
    graph = LineageGraph()
    for some in facts:
        graph.apply(some)
    return graph


@dataclass(frozen=True)
class World:
    """A random graph; every node is at hand, whether or not it has edges at noon."""

    size: int
    edges: Sequence[Edge]

    @property
    def view(self) -> GraphView:
        graph = LineageGraph()
        for number in range(self.size):
            graph.nodes.number(dataset(number))
        # Some rows are in the large index, some in the small one.
        half = len(self.edges) // 2
        graph.apply(told(self.edges[:half]))
        graph.adopt(graph.index())
        graph.apply(told(self.edges[half:], key="b"))
        return graph.at(DAY + 12 * HOUR)

    @property
    def peer(self) -> nx.DiGraph:
        """The graph at noon by networkx, the later of two edges' strengths counting."""
        peer = nx.DiGraph()
        peer.add_nodes_from(range(self.size))
        for edge in self.edges:
            assert edge.valid_from is not None
            until = edge.valid_until or DAY + 24 * HOUR
            if edge.valid_from <= DAY + 12 * HOUR < until:
                ends = (int(node.name[1:]) for node in (edge.source, edge.target))
                peer.add_edge(*ends, strength=np.float32(edge.strength))
        return peer


@st.composite
def worlds(draw: st.DrawFn, *, most: int = 7, amplifying: bool = False) -> World:
    size = draw(st.integers(2, most))
    nodes = st.integers(0, size - 1)
    pairs = draw(st.lists(st.tuples(nodes, nodes), unique=True, max_size=16))
    strengths = st.sampled_from([0.125, 0.25, 0.5, 1.0, *([2.0, 4.0] if amplifying else [])])
    edges = []
    for source, target in pairs:
        start = draw(st.sampled_from([0, 6, 13]))
        end = draw(st.sampled_from([None, None, 12, 20]))
        edges.append(
            Edge(
                dataset(source),
                dataset(target),
                strength=draw(strengths),
                valid_from=DAY + start * HOUR,
                valid_until=None if end is None or end <= start else DAY + end * HOUR,
            )
        )
    return World(size, edges)


@st.composite
def observations(draw: st.DrawFn, size: int) -> Observations:
    seen = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    moved = seen & np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    since = np.array(draw(st.lists(st.integers(1, 3), min_size=size, max_size=size)), np.int64)
    return Observations(seen, moved, np.where(moved, 2.0, 0.0), since)
