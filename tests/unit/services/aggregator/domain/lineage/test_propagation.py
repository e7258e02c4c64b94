from datetime import timedelta

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.facts import Edge
from services.aggregator.domain.lineage.nodes import (
    NodeId,
    NodeKind,
    feature_node,
    model_node,
    output_node,
)
from services.aggregator.domain.lineage.observations import (
    FeatureMove,
    Feeling,
    Observations,
    Sighting,
)
from services.aggregator.domain.lineage.propagation import Limits, MoveOrder, Propagation, trace
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.lineage.roles import Role
from tests.unit.services.aggregator.domain.lineage.worlds import (
    DAY,
    HOUR,
    World,
    dataset,
    graph_of,
    observations,
    told,
    worlds,
)

_JOB = NodeId(NodeKind.JOB, "airflow", "encode")
_EMBEDDING = feature_node("user_embedding")
_ADS, _FEED = model_node("ads_ctr"), model_node("feed_rank")
_SCORE = output_node("ads_ctr", "score")
_ADS_SCORE = feature_node("ads_score")
_CHAIN = [
    Edge(_JOB, _EMBEDDING),
    Edge(_EMBEDDING, _ADS, strength=0.5),
    Edge(feature_node("age"), _ADS, strength=0.25),
    Edge(_ADS, _SCORE),
    Edge(_SCORE, _ADS_SCORE),
    Edge(_ADS_SCORE, _FEED, strength=0.125),
]


def sighting(
    model: str, hour: int, moves: dict[str, float], features: list[str], *, has_moved: bool = False
) -> Sighting:
    start = DAY + hour * HOUR
    told_moves = [FeatureMove(name, shift) for name, shift in moves.items()]
    shift = 0.3 if has_moved else 0.01
    return Sighting(model, start, start + HOUR, shift, has_moved, tuple(features), told_moves)


def story(origin: NodeId, *sightings: Sighting, limits: Limits | None = None) -> Propagation:
    view = graph_of(told(_CHAIN)).at(DAY + timedelta(days=1))
    seen = Observations.of(sightings, view.nodes)
    return trace(view, view.number(origin), seen, Bounds(), limits or Limits())


_BROKEN = sighting("ads_ctr", 2, {"user_embedding": 4.0}, ["user_embedding", "age"], has_moved=True)
_QUIET = sighting("feed_rank", 2, {}, ["ads_score"])
_FELT = sighting("feed_rank", 3, {"ads_score": 0.9}, ["ads_score"])


def test_a_shift_that_has_not_come_down_yet() -> None:
    told_of = story(_EMBEDDING, _BROKEN, _QUIET)
    assert told_of.origin_shift == 4.0
    found = {node.node: node for node in told_of.nodes}
    assert [(node.node, node.role.name) for node in told_of.nodes] == [
        (_EMBEDDING, "ROOT"),
        (_ADS, "VICTIM"),
        (_SCORE, "UNAFFECTED"),
        (_ADS_SCORE, "UNAFFECTED"),
        (_FEED, "UNAFFECTED"),
    ]
    assert found[_FEED].path_strength == pytest.approx(0.0625)
    assert found[_FEED].expected_shift == pytest.approx(0.25)
    assert found[_FEED].feeling is Feeling.NOT_FELT
    assert found[_SCORE].feeling is Feeling.NOT_OBSERVED
    [path] = found[_FEED].paths
    assert path.nodes == [_EMBEDDING, _ADS, _SCORE, _ADS_SCORE, _FEED]


def test_a_shift_that_has_come_down() -> None:
    found = {node.node: node for node in story(_EMBEDDING, _BROKEN, _FELT).nodes}
    assert {node: told_of.role for node, told_of in found.items()} == {
        _EMBEDDING: Role.ROOT,
        _ADS: Role.CARRIER,
        _SCORE: Role.CARRIER,
        _ADS_SCORE: Role.VICTIM,
        _FEED: Role.UNAFFECTED,
    }
    assert found[_ADS].move_order is MoveOrder.TOGETHER
    assert found[_ADS_SCORE].move_order is MoveOrder.PARENT_FIRST
    assert found[_ADS_SCORE].move_time == DAY + 3 * HOUR


def test_what_moved_before_its_parent_is_a_root_of_its_own() -> None:
    early = sighting("feed_rank", 0, {"ads_score": 0.9}, ["ads_score"])
    found = {node.node: node for node in story(_EMBEDDING, _BROKEN, early).nodes}
    assert found[_ADS_SCORE].role is Role.ROOT
    assert found[_ADS_SCORE].move_order is MoveOrder.CHILD_FIRST


def test_of_a_model_the_feature_that_broke_is_the_root() -> None:
    told_of = story(_ADS, _BROKEN, _FELT)
    assert [(node.node, node.role, node.depth) for node in told_of.nodes[:2]] == [
        (_EMBEDDING, Role.ROOT, -1),
        (_ADS, Role.CARRIER, 0),
    ]
    assert told_of.nodes[0].paths[0].nodes == [_EMBEDDING, _ADS]


def test_of_a_victim_the_root_is_found_far_upstream() -> None:
    told_of = story(_ADS_SCORE, _BROKEN, _FELT)
    roles = {node.node: node.role for node in told_of.nodes}
    assert roles[_EMBEDDING] is Role.ROOT
    assert roles[_ADS] is roles[_SCORE] is Role.CARRIER
    assert roles[_ADS_SCORE] is Role.VICTIM


def test_a_pipeline_that_nobody_looks_at_is_the_root_of_what_moved_below_it() -> None:
    told_of = story(_JOB, _BROKEN)
    assert told_of.origin_shift == 1.0
    roles = {node.node: node.role for node in told_of.nodes}
    assert (roles[_JOB], roles[_EMBEDDING]) == (Role.ROOT, Role.CARRIER)


def test_a_cycle_has_one_root_where_one_moved_first() -> None:
    edges = [Edge(dataset(n), dataset((n + 1) % 3)) for n in range(3)]
    view = graph_of(told(edges)).at(DAY + HOUR)
    moved = np.ones(3, np.bool_)
    seen = Observations(moved, moved, np.ones(3), np.array([2, 1, 2], np.int64))
    roles = {
        node.node: node.role
        for node in trace(view, view.number(dataset(1)), seen, Bounds(), Limits()).nodes
        if node.depth >= 0
    }
    assert roles == {
        dataset(0): Role.CARRIER,
        dataset(1): Role.ROOT,
        dataset(2): Role.CARRIER,
    }


def test_a_short_answer_keeps_the_roots_and_says_that_it_is_short() -> None:
    told_of = story(_ADS_SCORE, _BROKEN, _FELT, limits=Limits(nodes=2))
    assert {node.node for node in told_of.nodes} == {_EMBEDDING, _ADS_SCORE}
    assert told_of.truncation.size
    assert not story(_ADS_SCORE, _BROKEN, _FELT).truncation.size


@given(worlds(), st.data())
def test_roles_downstream_are_those_of_the_definition(world: World, data: st.DataObject) -> None:
    seen = data.draw(observations(world.size))
    view, peer = world.view, world.peer
    below = nx.descendants(peer, 0) | {0}
    inner = peer.subgraph(below)
    moved = {node: int(seen.since[node]) for node in below if seen.moved[node]}
    if moved and not seen.seen[0]:
        moved[0] = min(moved.values())
    for told_of in trace(view, 0, seen, Bounds(depth=50), Limits(nodes=50)).nodes:
        number = view.number(told_of.node)
        if number == 0 or told_of.depth < 0:
            continue
        leads = any(node in moved for node in _beyond(inner, number))
        if number not in moved:
            hidden = leads and not seen.seen[number]
            assert told_of.role is (Role.CARRIER if hidden else Role.UNAFFECTED)
            continue
        explained = any(
            time < moved[number]
            or (time == moved[number] and not nx.has_path(inner, number, other))
            for other, time in moved.items()
            if other != number and nx.has_path(inner, other, number)
        )
        came = Role.CARRIER if leads else Role.VICTIM
        assert told_of.role is (came if explained else Role.ROOT)


@given(worlds(), st.data())
def test_expected_shifts_fall_along_a_path_and_paths_are_of_edges(
    world: World, data: st.DataObject
) -> None:
    seen = data.draw(observations(world.size))
    told_of = trace(world.view, 0, seen, Bounds(), Limits())
    expected = {node.node: node.expected_shift for node in told_of.nodes if node.depth >= 0}
    for node in told_of.nodes:
        for path in node.paths:
            numbers = [int(on_path.name[1:]) for on_path in path.nodes]
            assert all(world.peer.has_edge(*edge) for edge in nx.utils.pairwise(numbers))
            assert numbers[-1 if node.depth > 0 else 0] == int(node.node.name[1:])
            assert path.strength <= node.path_strength * (1 + 1e-9)
        if node.depth > 0:
            falling = [expected[on_path] for on_path in node.paths[0].nodes]
            assert all(a >= b * (1 - 1e-9) for a, b in nx.utils.pairwise(falling))


def _beyond(graph: nx.DiGraph, node: int) -> set[int]:
    """Nodes at the end of a path of at least one edge, which may be the node itself."""
    return {end for step in graph.successors(node) for end in nx.descendants(graph, step) | {step}}
