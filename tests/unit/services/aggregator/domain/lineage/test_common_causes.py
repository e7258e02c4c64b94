import math
from collections.abc import Collection, Mapping, Sequence

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.common_causes import Causes, find_causes
from services.aggregator.domain.lineage.facts import Edge, EventKind
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind, feature_node
from services.aggregator.domain.lineage.observations import Observations
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.lineage.view import GraphView
from tests.unit.services.aggregator.domain.lineage.worlds import (
    DAY,
    HOUR,
    World,
    graph_of,
    observations,
    told,
    worlds,
)

_EVENTS = Mapping[NodeId, Collection[EventKind]]
_SEVEN = [feature_node(f"user_{n}") for n in range(7)]
_OTHERS = [feature_node(f"item_{n}") for n in range(7)]


def job(name: str) -> NodeId:
    return NodeId(NodeKind.JOB, "airflow", name)


_TABLE = NodeId(NodeKind.DATASET, "lake", "events")
_EDGES = [
    *(Edge(_TABLE, job(name)) for name in ("users", "items")),
    *(Edge(job("users"), feature) for feature in _SEVEN),
    *(Edge(job("items"), feature) for feature in _OTHERS),
    Edge(job("rare"), _SEVEN[0]),
]


def causes_of(shifted: Sequence[NodeId], events: _EVENTS | None = None) -> tuple[GraphView, Causes]:
    view = graph_of(told(_EDGES)).at(DAY + HOUR)
    numbers = np.array([view.number(node) for node in shifted], np.intp)
    seen = np.zeros(len(view.nodes), np.bool_)
    seen[[view.number(node) for node in [*_SEVEN, *_OTHERS]]] = True
    moved = np.zeros_like(seen)
    moved[numbers] = True
    observed = Observations(seen, moved, np.ones(len(seen)), np.ones(len(seen), np.int64))
    by_number = {view.number(node): kinds for node, kinds in (events or {}).items()}
    return view, find_causes(view, numbers, observed, by_number, Bounds())


def ranked(found: tuple[GraphView, Causes]) -> list[NodeId]:
    view, causes = found
    return [view.nodes.id(hypothesis.node) for hypothesis, _ in causes.ranked]


def test_the_pipeline_whose_features_all_shifted_and_no_others_comes_first() -> None:
    found = causes_of(_SEVEN)
    assert ranked(found)[0] == job("users")
    hypothesis, probability = found[1].ranked[0]
    assert probability > 0.99
    assert {found[0].nodes.id(node) for node in hypothesis.covered} == set(_SEVEN)
    assert hypothesis.silent == []
    assert hypothesis.depth == 1


def test_silent_outputs_speak_against_what_lies_further_upstream() -> None:
    view, causes = causes_of(_SEVEN)
    probabilities = {view.nodes.id(hypothesis.node): p for hypothesis, p in causes.ranked}
    assert probabilities[_TABLE] < 1e-3 < probabilities[job("users")]
    table = next(h for h, _ in causes.ranked if view.nodes.id(h.node) == _TABLE)
    assert {view.nodes.id(node) for node in table.silent} == set(_OTHERS)


def test_if_the_outputs_of_both_pipelines_shifted_it_is_what_both_read() -> None:
    assert ranked(causes_of([*_SEVEN, *_OTHERS]))[0] == _TABLE


def test_a_single_feature_is_no_reason_to_suspect_a_pipeline_of_many() -> None:
    found = causes_of(_SEVEN[:1])
    assert ranked(found)[0] == job("rare")
    probabilities = {found[0].nodes.id(h.node): p for h, p in found[1].ranked}
    assert probabilities[job("users")] < 1e-3


def test_a_failed_run_makes_a_suspect_likelier_and_an_ordinary_one_does_not() -> None:
    def probability(*kinds: EventKind) -> float:
        view, causes = causes_of(_SEVEN[:2], {job("users"): kinds})
        return {view.nodes.id(h.node): p for h, p in causes.ranked}[job("users")]

    plain = probability()
    odds = plain / (1 - plain)
    failed = probability(EventKind.FAILED_RUN, EventKind.DEPLOY)
    assert failed / (1 - failed) == pytest.approx(8 * odds, rel=1e-6)
    assert probability(EventKind.PIPELINE_RUN) == pytest.approx(plain)


def test_a_shifted_feature_explains_itself_with_another_that_it_feeds() -> None:
    view = graph_of(told([*_EDGES, Edge(_SEVEN[0], feature_node("derived"))])).at(DAY + HOUR)
    shifted = np.array([view.number(_SEVEN[0]), view.number(feature_node("derived"))], np.intp)
    seen = np.zeros(len(view.nodes), np.bool_)
    seen[[view.number(node) for node in _SEVEN]] = True
    moved = np.isin(np.arange(len(seen)), shifted)
    observed = Observations(seen, moved, np.ones(len(seen)), np.ones(len(seen), np.int64))
    causes = find_causes(view, shifted, observed, {}, Bounds())
    names = [view.nodes.id(hypothesis.node) for hypothesis, _ in causes.ranked]
    assert names.index(_SEVEN[0]) < names.index(job("users"))


@given(worlds(), st.data())
def test_probabilities_are_the_products_of_the_definition_over_their_sum(
    world: World, data: st.DataObject
) -> None:
    seen = data.draw(observations(world.size))
    view = world.view
    shifted = np.flatnonzero(seen.moved).astype(np.intp)
    found = find_causes(view, shifted, seen, {}, Bounds(depth=50, fan_out=50))
    odds = {
        node: math.exp(log_odds)
        for node in range(world.size)
        if (log_odds := log_odds_by_hand(world, node, seen)) is not None
    }
    total = 1 + sum(odds.values()) / max(len(odds), 1)
    assert found.coincidence == pytest.approx(1 / total)
    assert {hypothesis.node: p for hypothesis, p in found.ranked} == pytest.approx(
        {node: value / len(odds) / total for node, value in odds.items()}
    )


def log_odds_by_hand(world: World, node: int, seen: Observations) -> float | None:
    far = nx.single_source_shortest_path_length(world.peer, node)
    others = [other for other in far if other != node and seen.moved[other]]
    log_odds = 0.0
    for other in far:
        if other != node and far[other] > max((far[moved] for moved in others), default=0):
            continue
        paths = [[node]] if other == node else list(nx.all_simple_paths(world.peer, node, other))
        depth = max((far[moved] for moved in others), default=0)
        strength = max(
            math.prod(float(world.peer.edges[edge]["strength"]) for edge in nx.utils.pairwise(path))
            for path in paths
            if len(path) <= depth + 1
        )
        chance = min(max(0.95 ** far[other] * (1 + math.log10(strength) / 3), 0.005), 0.99)
        if seen.moved[other]:
            log_odds += math.log(chance / 0.005)
        elif seen.seen[other]:
            log_odds += math.log((1 - chance) / 0.995)
    return log_odds if others else None
