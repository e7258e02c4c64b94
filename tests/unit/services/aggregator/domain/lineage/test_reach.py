import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.facts import Edge
from services.aggregator.domain.lineage.reach import Bounds, reach
from services.aggregator.domain.lineage.view import Direction
from tests.unit.services.aggregator.domain.lineage.worlds import DAY, World, dataset, worlds

_ALL = 100


def strengths_by_hand(peer: nx.DiGraph, origin: int, depth: int) -> dict[int, float]:
    """All simple paths, one after the other."""
    best = {origin: 1.0}
    for target in peer:
        for path in nx.all_simple_paths(peer, origin, target, cutoff=depth):
            strength = float(
                np.prod([peer.edges[edge]["strength"] for edge in nx.utils.pairwise(path)])
            )
            best[target] = max(strength, best.get(target, 0.0))
    return best


@given(worlds(), st.integers(0, 1), st.integers(1, 5), st.sampled_from(Direction))
def test_the_strongest_paths_are_those_that_trying_all_finds(
    world: World, origin: int, depth: int, direction: Direction
) -> None:
    found = reach(world.view, np.array([origin], np.intp), direction, Bounds(depth, _ALL))
    peer = world.peer if direction is Direction.DOWNSTREAM else world.peer.reverse()
    expected = strengths_by_hand(peer, origin, depth)
    assert dict(zip(found.nodes.tolist(), found.strengths, strict=True)) == pytest.approx(expected)
    hops = nx.single_source_shortest_path_length(peer, origin, cutoff=depth)
    assert dict(zip(found.nodes.tolist(), found.distances.tolist(), strict=True)) == dict(hops)
    beyond = nx.single_source_shortest_path_length(peer, origin)
    assert found.truncation.depth == (len(beyond) > len(hops))


@given(worlds(amplifying=True), st.integers(1, 6))
def test_a_path_goes_through_no_node_twice_and_is_as_strong_as_its_edges(
    world: World, depth: int
) -> None:
    found = reach(world.view, np.array([0], np.intp), Direction.DOWNSTREAM, Bounds(depth, _ALL))
    for position, strength in enumerate(found.strengths):
        path = found.path(position)
        assert len(set(path)) == len(path) <= depth + 1
        edges = [world.peer.edges[edge]["strength"] for edge in nx.utils.pairwise(path)]
        assert strength == pytest.approx(float(np.prod(edges)))


@given(worlds(), st.integers(1, 4), st.integers(1, 3))
def test_a_tighter_bound_reaches_no_more_and_says_what_it_left_out(
    world: World, depth: int, fan_out: int
) -> None:
    view, origin = world.view, np.array([0], np.intp)
    tight = reach(view, origin, Direction.DOWNSTREAM, Bounds(depth, fan_out))
    wide = reach(view, origin, Direction.DOWNSTREAM, Bounds(_ALL, _ALL))
    strengths = dict(zip(wide.nodes.tolist(), wide.strengths, strict=True))
    for node, strength in zip(tight.nodes.tolist(), tight.strengths, strict=True):
        assert strength <= strengths[node] * (1 + 1e-9)
    if set(tight.nodes.tolist()) != set(strengths):
        assert tight.truncation.depth or tight.truncation.fan_out


def test_only_the_strongest_edges_are_followed_from_a_node_with_many() -> None:
    edges = [Edge(dataset(0), dataset(n), strength=n / 10, valid_from=DAY) for n in range(1, 10)]
    found = reach(World(10, edges).view, np.array([0], np.intp), Direction.DOWNSTREAM, Bounds(6, 3))
    assert found.nodes.tolist() == [0, 7, 8, 9]
    assert found.truncation.fan_out
    assert not found.truncation.depth


@given(worlds())
def test_several_origins_reach_what_each_of_them_reaches(world: World) -> None:
    view, bounds = world.view, Bounds(_ALL, _ALL)
    both = reach(view, np.array([0, 1], np.intp), Direction.DOWNSTREAM, bounds)
    for position, node in enumerate(both.nodes):
        alone = [
            reach(view, np.array([origin], np.intp), Direction.DOWNSTREAM, bounds)
            for origin in (0, 1)
        ]
        best = max(found.strengths[found.nodes == node].max(initial=0.0) for found in alone)
        assert both.strengths[position] == pytest.approx(best)
