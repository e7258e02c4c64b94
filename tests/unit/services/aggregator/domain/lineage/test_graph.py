from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.errors import InvalidFacts, NodeNotFound
from services.aggregator.domain.lineage.facts import (
    Edge,
    EndedEdge,
    LineageFacts,
    Node,
    Transform,
    TransformKind,
)
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import feature_node, model_node
from services.aggregator.domain.lineage.view import Direction
from tests.unit.services.aggregator.domain.lineage.worlds import (
    DAY,
    HOUR,
    dataset,
    graph_of,
    told,
)

_HOURS = range(8)


def edges_at(graph: LineageGraph, hour: float) -> set[tuple[str, str]]:
    view = graph.at(DAY + hour * HOUR)
    nodes = np.arange(len(graph.nodes), dtype=np.intp)
    steps = view.steps(nodes, Direction.DOWNSTREAM)
    return {
        (view.nodes.id(int(place)).name, view.nodes.id(int(node)).name)
        for place, node in zip(steps.places, steps.nodes, strict=True)
    }


def strengths_of(graph: LineageGraph, edge: Edge) -> set[float]:
    view = graph.at(DAY + 100 * HOUR)
    steps = view.steps(np.array([view.number(edge.source)], np.intp), Direction.DOWNSTREAM)
    return set(steps.strengths[steps.nodes == view.number(edge.target)].tolist())


def strength_of(graph: LineageGraph, edge: Edge) -> float:
    [strength] = strengths_of(graph, edge)
    return strength


@st.composite
def facts(draw: st.DrawFn) -> LineageFacts:
    nodes = st.integers(0, 3).map(dataset)
    edges = st.lists(st.builds(Edge, nodes, nodes), max_size=4)
    return LineageFacts(
        key="",
        provenance=draw(st.sampled_from(["a", "b"])),
        time=DAY + draw(st.sampled_from(_HOURS)) * HOUR,
        edges=draw(edges),
        ended_edges=draw(st.lists(st.builds(EndedEdge, nodes, nodes), max_size=2)),
        restated_nodes=draw(st.lists(nodes, max_size=1)),
        is_complete=draw(st.booleans()),
    )


@given(st.lists(facts(), max_size=6), st.randoms())
def test_what_is_so_now_does_not_depend_on_the_order_of_the_facts(
    all_facts: list[LineageFacts], random: object
) -> None:
    shuffled = list(all_facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert edges_at(graph_of(*all_facts), 10) == edges_at(graph_of(*shuffled), 10)


@given(st.lists(facts(), max_size=6))
def test_the_same_facts_again_change_nothing(all_facts: list[LineageFacts]) -> None:
    once, twice = graph_of(*all_facts), graph_of(*all_facts, *all_facts)
    assert edges_at(once, 10) == edges_at(twice, 10)


@given(st.lists(facts(), max_size=6))
def test_in_order_of_time_the_graph_is_known_as_it_was_at_every_time(
    all_facts: list[LineageFacts],
) -> None:
    all_facts.sort(key=lambda some: some.time)
    graph = graph_of(*all_facts)
    for hour in _HOURS:
        so_far = [some for some in all_facts if some.time <= DAY + hour * HOUR]
        assert edges_at(graph, hour) == edges_at(graph_of(*so_far), 10)


@given(st.lists(facts(), max_size=6), st.integers(0, 6))
def test_an_index_of_some_rows_or_of_all_gives_the_same_answers(
    all_facts: list[LineageFacts], indexed: int
) -> None:
    graph = graph_of(*all_facts[:indexed])
    graph.adopt(graph.index())
    for some in all_facts[indexed:]:
        graph.apply(some)
    assert edges_at(graph, 10) == edges_at(graph_of(*all_facts), 10)


@given(st.lists(st.one_of(facts(), st.sampled_from(["ask", "index", "adopt"])), max_size=12))
def test_answers_follow_every_change_whenever_the_rows_are_indexed(
    happenings: list[LineageFacts | str],
) -> None:
    graph, index, known = LineageGraph(), None, []
    for happening in happenings:
        if isinstance(happening, LineageFacts):
            graph.apply(happening)
            known.append(happening)
        elif happening == "index":
            index = graph.index()
        elif happening == "adopt" and index is not None:
            graph.adopt(index)
            index = None
        else:
            assert edges_at(graph, 5) == edges_at(graph_of(*known), 5)
    assert edges_at(graph, 10) == edges_at(graph_of(*known), 10)


def test_a_strength_that_changes_after_the_rows_were_indexed_counts() -> None:
    into = Edge(feature_node("age"), model_node("ads_ctr"))
    graph = graph_of(told([into]))
    graph.adopt(graph.index())
    pending = graph.index()
    graph.measure("ads_ctr", ["age"], np.array([0.25]), DAY + HOUR)
    assert strengths_of(graph, into) == {0.25}
    graph.adopt(pending)
    assert strengths_of(graph, into) == {0.25}


def test_an_index_made_while_facts_come_in_lacks_none() -> None:
    graph = graph_of(told([Edge(dataset(0), dataset(1))]))
    index = graph.index()
    graph.apply(told([Edge(dataset(1), dataset(2))]))
    graph.adopt(index)
    assert edges_at(graph, 1) == {("d0", "d1"), ("d1", "d2")}


def test_an_edge_is_there_from_its_first_time_to_before_its_last() -> None:
    edge = Edge(dataset(0), dataset(1), valid_from=DAY + 2 * HOUR, valid_until=DAY + 5 * HOUR)
    graph = graph_of(told([edge]))
    assert [bool(edges_at(graph, hour)) for hour in (1.9, 2, 4.9, 5)] == [False, True, True, False]


def test_a_sender_ends_its_own_edges_and_leaves_those_of_others() -> None:
    edges = [Edge(dataset(0), dataset(2)), Edge(dataset(1), dataset(2))]
    ours, theirs = told(edges), told(edges[:1], sender="other")
    restated = replace(told(edges[1:], key="c"), time=DAY + HOUR, restated_nodes=[dataset(2)])
    graph = graph_of(ours, restated)
    assert edges_at(graph, 2) == {("d1", "d2")}
    assert edges_at(graph, 0.5) == {("d0", "d2"), ("d1", "d2")}
    assert edges_at(graph_of(ours, theirs, restated), 2) == {("d0", "d2"), ("d1", "d2")}


def test_a_complete_account_ends_what_is_missing_in_it() -> None:
    edges = [Edge(dataset(0), dataset(2)), Edge(dataset(1), dataset(3))]
    theirs = told([Edge(dataset(4), dataset(5))], sender="other")
    anew = replace(told(edges[:1], key="c"), time=DAY + HOUR, is_complete=True)
    assert edges_at(graph_of(told(edges), theirs, anew), 2) == {("d0", "d2"), ("d4", "d5")}


@given(st.lists(facts(), max_size=5), st.lists(facts(), max_size=3))
def test_a_graph_goes_on_from_its_kept_state(
    before: list[LineageFacts], after: list[LineageFacts]
) -> None:
    graph = graph_of(*before)
    again = LineageGraph.of(graph.state(ended_before=DAY - HOUR))
    for some in after:
        graph.apply(some)
        again.apply(some)
    for hour in _HOURS:
        assert edges_at(again, hour) == edges_at(graph, hour)


def test_a_state_leaves_out_what_ended_before_a_time() -> None:
    edges = [Edge(dataset(0), dataset(1), valid_until=DAY + HOUR), Edge(dataset(1), dataset(2))]
    again = LineageGraph.of(graph_of(told(edges)).state(ended_before=DAY + 2 * HOUR))
    assert edges_at(again, 0) == {("d1", "d2")}


def test_of_a_dropped_node_all_edges_end() -> None:
    edges = [
        Edge(dataset(0), dataset(1)),
        Edge(dataset(1), dataset(2)),
        Edge(dataset(0), dataset(2)),
    ]
    dropped = LineageFacts("x", "somebody", DAY + HOUR, ended_nodes=[dataset(1)])
    assert edges_at(graph_of(told(edges), dropped), 2) == {("d0", "d2")}


def test_a_strength_is_measured_or_declared_or_assumed_in_this_order() -> None:
    into = Edge(feature_node("age"), model_node("ads_ctr"))
    graph = graph_of(told([into]))
    assert strength_of(graph, into) == pytest.approx(0.01)
    graph.apply(told([replace(into, strength=0.5)]))
    assert strength_of(graph, into) == pytest.approx(0.5)
    graph.measure("ads_ctr", ["age", "clicks"], np.array([0.25, 0.125]), DAY + HOUR)
    rows = graph.edges.between(*(graph.nodes.number(node) for node in (into.source, into.target)))
    assert {float(graph.edges.strength[row]) for row in rows} == {0.25}


def test_what_only_decides_which_rows_there_are_passes_less_on() -> None:
    edge = Edge(dataset(0), dataset(1), Transform(TransformKind.INDIRECT, "FILTER"))
    assert strength_of(graph_of(told([edge])), edge) == pytest.approx(0.1)
    assert strength_of(graph_of(told([replace(edge, transform=Transform())])), edge) == 1.0


def test_features_that_a_model_has_no_longer_leave_it() -> None:
    graph = LineageGraph()
    graph.measure("ads_ctr", ["age", "clicks"], np.array([0.5, 0.5]), DAY)
    graph.measure("ads_ctr", ["age"], np.array([0.25]), DAY + 3 * HOUR)
    assert edges_at(graph, 1) == {("age", "ads_ctr"), ("clicks", "ads_ctr")}
    assert edges_at(graph, 4) == {("age", "ads_ctr")}


def test_what_is_told_of_a_node_adds_up() -> None:
    first = LineageFacts("a", "x", DAY, nodes=[Node(dataset(0), "users", "ada", "v1", "{}")])
    second = LineageFacts("b", "x", DAY, nodes=[Node(dataset(0), schema_version="v2")])
    graph = graph_of(first, second)
    assert graph.nodes.details(0) == Node(dataset(0), "users", "ada", "v2", "{}")


def test_a_node_that_nobody_told_of_is_not_found() -> None:
    with pytest.raises(NodeNotFound, match="no dataset:lake:d7: register it first"):
        LineageGraph().at(DAY).number(dataset(7))


def test_edges_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidFacts, match="ends before it begins"):
        Edge(dataset(0), dataset(1), valid_from=DAY, valid_until=DAY - timedelta(hours=1))
    with pytest.raises(InvalidFacts, match="finite and not negative"):
        Edge(dataset(0), dataset(1), strength=float("nan"))
