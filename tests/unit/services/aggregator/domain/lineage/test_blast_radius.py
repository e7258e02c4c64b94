from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given

from services.aggregator.domain.lineage.blast_radius import BlastRadius, blast_radius
from services.aggregator.domain.lineage.facts import Edge
from services.aggregator.domain.lineage.nodes import (
    NodeId,
    NodeKind,
    feature_node,
    model_node,
    output_node,
)
from services.aggregator.domain.lineage.reach import Bounds
from tests.unit.services.aggregator.domain.lineage.worlds import (
    DAY,
    HOUR,
    World,
    graph_of,
    told,
    worlds,
)

_JOB = NodeId(NodeKind.JOB, "airflow", "encode")
_A, _B, _SCORE = feature_node("a"), feature_node("b"), feature_node("ads_score")
_ADS, _FEED, _LONE = model_node("ads_ctr"), model_node("feed_rank"), model_node("lone")
_EDGES = [
    Edge(_JOB, _A),
    Edge(_JOB, _B),
    Edge(_A, _ADS, strength=0.5),
    Edge(_B, _ADS, strength=0.25),
    Edge(_B, _LONE, strength=0.125),
    Edge(_ADS, output_node("ads_ctr", "score")),
    Edge(output_node("ads_ctr", "score"), _SCORE),
    Edge(_SCORE, _FEED, strength=0.5),
]


def radius(
    origins: Sequence[NodeId], model: NodeId | None = None
) -> tuple[dict[NodeId, float], BlastRadius]:
    view = graph_of(told(_EDGES)).at(DAY + HOUR)
    numbers = np.array([view.number(node) for node in origins], np.intp)
    found = blast_radius(view, numbers, None if model is None else view.number(model), Bounds())
    changes = {affected.model: affected.change for affected in found.models}
    return changes, found


def test_all_models_downstream_are_told_the_most_affected_first() -> None:
    changes, found = radius([_B])
    assert changes == pytest.approx({_ADS: 0.25, _LONE: 0.125, _FEED: 0.125})
    assert next(iter(changes)) == _ADS
    feed = next(affected for affected in found.models if affected.model == _FEED)
    assert feed.features == [_SCORE]
    assert feed.path.nodes[0] == _B
    assert feed.path.strength == pytest.approx(0.125)
    assert (found.feature_count, found.node_count) == (2, 5)


def test_importances_of_features_that_go_together_add_up() -> None:
    changes, found = radius([_JOB])
    assert changes == pytest.approx({_ADS: 0.75, _LONE: 0.125, _FEED: 0.375})
    assert found.models[0].features == [_A, _B]


def test_a_kill_switch_in_one_model_leaves_others_that_share_the_feature_alone() -> None:
    changes, found = radius([_A, _B], model=_ADS)
    assert changes == pytest.approx({_ADS: 0.75, _FEED: 0.375})
    assert found.models[0].features == [_A, _B]


def test_of_a_feature_no_more_than_all_can_be_lost() -> None:
    edges = [*_EDGES, *(Edge(_JOB, NodeId(NodeKind.COLUMN, "x", "t", f"c{n}")) for n in range(9))]
    edges += [Edge(NodeId(NodeKind.COLUMN, "x", "t", f"c{n}"), _A) for n in range(9)]
    view = graph_of(told(edges)).at(DAY + HOUR)
    found = blast_radius(view, np.array([view.number(_JOB)], np.intp), None, Bounds())
    changes = {affected.model: affected.change for affected in found.models}
    assert changes[_ADS] == pytest.approx(0.75)


def test_an_edge_that_two_told_of_counts_once() -> None:
    view = graph_of(told(_EDGES), told(_EDGES, key="b", sender="other")).at(DAY + HOUR)
    found = blast_radius(view, np.array([view.number(_B)], np.intp), None, Bounds())
    assert found.models[0].change == pytest.approx(0.25)


def test_a_cycle_ends_where_the_depth_does() -> None:
    edges = [*_EDGES, Edge(_FEED, _SCORE, strength=1.0)]
    view = graph_of(told(edges)).at(DAY + HOUR)
    found = blast_radius(view, np.array([view.number(_A)], np.intp), None, Bounds(depth=50))
    changes = {affected.model: affected.change for affected in found.models}
    assert changes[_ADS] == pytest.approx(0.5)
    assert changes[_FEED] == pytest.approx(0.5)


@given(worlds())
def test_more_that_is_switched_off_affects_as_many_nodes_or_more(world: World) -> None:
    view = world.view
    one = blast_radius(view, np.array([0], np.intp), None, Bounds())
    two = blast_radius(view, np.array([0, 1], np.intp), None, Bounds())
    assert two.node_count >= one.node_count - 1


def test_all_affected_models_are_counted_and_the_most_affected_told() -> None:
    view = graph_of(told(_EDGES)).at(DAY + HOUR)
    found = blast_radius(view, np.array([view.number(_JOB)], np.intp), None, Bounds(), limit=1)
    assert [affected.model for affected in found.models] == [_ADS]
    assert found.model_count == 3
    assert found.truncation.size
