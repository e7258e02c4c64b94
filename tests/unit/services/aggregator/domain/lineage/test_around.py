import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.around import around
from services.aggregator.domain.lineage.view import Direction
from tests.unit.services.aggregator.domain.lineage.worlds import World, worlds

_BOTH = [Direction.DOWNSTREAM, Direction.UPSTREAM]


@given(worlds(), st.integers(1, 4))
def test_what_lies_around_is_told_with_its_distance_and_all_edges_between(
    world: World, depth: int
) -> None:
    view, peer = world.view, world.peer
    found = around(view, 0, _BOTH, depth, 100)
    down = nx.single_source_shortest_path_length(peer, 0, cutoff=depth)
    up = nx.single_source_shortest_path_length(peer.reverse(), 0, cutoff=depth)
    expected = {
        node: down[node] if down.get(node, 99) <= up.get(node, 99) else -up[node]
        for node in down.keys() | up.keys()
    }
    assert dict(zip(found.nodes.tolist(), found.distances.tolist(), strict=True)) == expected
    table = view.edges
    edges = {(int(table.source[row]), int(table.target[row])) for row in found.rows}
    assert edges == set(peer.subgraph(expected).edges)
    assert not found.truncation.size


@given(worlds(), st.integers(1, 3))
def test_of_too_many_the_nearest_are_told(world: World, limit: int) -> None:
    every = around(world.view, 0, _BOTH, 50, 100)
    some = around(world.view, 0, _BOTH, 50, limit)
    assert some.nodes[0] == 0
    assert np.array_equal(some.nodes, every.nodes[:limit])
    assert some.truncation.size == (len(every.nodes) > limit)
