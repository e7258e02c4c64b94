from fractions import Fraction

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.audit.domain.errors import TooLargeForExact
from services.audit.domain.parameters import Centrality, Measure, PathLength
from services.audit.engine import paths, weighted_betweenness
from services.audit.engine.centrality import centrality, most_central
from services.audit.engine.graph import CooccurrenceGraph


def random_graph(seed: int, vertices: int, density: float) -> CooccurrenceGraph:
    generator = np.random.default_rng(seed)
    strengths = np.triu(generator.integers(1, 50, (vertices, vertices)), 1)
    strengths *= generator.random((vertices, vertices)) < density
    names = [f"label {vertex}" for vertex in range(vertices)]
    return CooccurrenceGraph.from_matrix(names, strengths + strengths.T, 1)


def reference(
    graph: CooccurrenceGraph, measure: Measure, number: type[float] | type[Fraction] = float
) -> NDArray[np.float64]:
    peer = networkx.from_scipy_sparse_array(graph.edges, edge_attribute="strength")
    for _, _, edge in peer.edges(data=True):
        edge["length"] = number(int(edge["strength"]))
        if measure.path_length is PathLength.INVERSE_STRENGTH:
            edge["length"] = 1 / edge["length"]
    weight = "length" if measure.is_weighted else None
    match measure.centrality:
        case Centrality.CLOSENESS:
            found = networkx.closeness_centrality(peer, distance=weight)
        case Centrality.BETWEENNESS:
            found = networkx.betweenness_centrality(peer, weight=weight)
        case Centrality.DEGREE:
            found = dict(peer.degree(weight="strength" if measure.is_weighted else None))
        case Centrality.EIGENVECTOR:
            found = networkx.eigenvector_centrality_numpy(
                peer, weight="strength" if measure.is_weighted else None
            )
    return np.array([abs(found[vertex]) for vertex in range(len(graph.names))])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(4, 90),
    st.sampled_from([c for c in Centrality if c is not Centrality.EIGENVECTOR]),
    st.booleans(),
    st.sampled_from(PathLength),
)
def test_agrees_with_networkx(
    seed: int, vertices: int, kind: Centrality, is_weighted: bool, path_length: PathLength
) -> None:
    graph = random_graph(seed, vertices, 0.15)
    measure = Measure(kind, is_weighted, path_length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighted_betweenness, "has_igraph", lambda: False)
        found = centrality(graph, measure)
    np.testing.assert_allclose(found, reference(graph, measure), rtol=1e-9, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 60), st.sampled_from(PathLength))
def test_igraph_agrees_with_networkx_on_fractions(
    seed: int, vertices: int, path_length: PathLength
) -> None:
    """Fractions have no rounding: paths that are equally short are so for both."""
    graph = random_graph(seed, vertices, 0.15)
    measure = Measure(Centrality.BETWEENNESS, True, path_length)
    assert weighted_betweenness.has_igraph()
    expected = reference(graph, measure, Fraction)
    np.testing.assert_allclose(centrality(graph, measure), expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 90), st.booleans())
def test_eigenvector_agrees_with_networkx_where_it_is_unique(
    seed: int, vertices: int, is_weighted: bool
) -> None:
    graph = random_graph(seed, vertices, 0.9)
    measure = Measure(Centrality.EIGENVECTOR, is_weighted)
    np.testing.assert_allclose(
        centrality(graph, measure), reference(graph, measure), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kind", Centrality)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_isolated_labels_never_come_before_hubs(kind: Centrality, is_weighted: bool) -> None:
    counts = np.zeros((80, 80), np.int64)
    counts[40, 41:50] = counts[41:50, 40] = 3
    counts[60, 61] = counts[61, 60] = 90
    graph = CooccurrenceGraph.from_matrix([f"{i}" for i in range(80)], counts, 1)
    values = centrality(graph, Measure(kind, is_weighted))
    assert np.isfinite(values).all()
    top = most_central(graph, values, 50)
    assert set(top.tolist()) == {*range(40, 50), 60, 61}
    # Weighted, the strong pair may come first; unweighted, the hub must.
    assert is_weighted or top[0] == 40


def test_ties_are_broken_by_the_labels_order() -> None:
    graph = random_graph(1, 30, 1.0)
    assert most_central(graph, np.ones(30), 7).tolist() == list(range(7))


def test_strength_as_distance_puts_labels_that_meet_often_far_apart() -> None:
    counts = np.array([[0, 9, 1, 0], [9, 0, 0, 9], [1, 0, 0, 1], [0, 9, 1, 0]])
    graph = CooccurrenceGraph.from_matrix("abcd", counts, 1)
    sound = centrality(graph, Measure(Centrality.BETWEENNESS, is_weighted=True))
    paper = centrality(
        graph, Measure(Centrality.BETWEENNESS, is_weighted=True, path_length=PathLength.STRENGTH)
    )
    assert sound.argmax() == 1
    assert paper.argmax() == 2


def test_weighted_betweenness_of_a_large_graph_is_refused_or_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = random_graph(2, 60, 0.2)
    exact = centrality(graph, Measure(Centrality.BETWEENNESS, is_weighted=True))
    for limit in ("_STEPS", "_IGRAPH_STEPS"):
        monkeypatch.setattr(weighted_betweenness, limit, 10)
    with pytest.raises(TooLargeForExact, match="give a number of pivots"):
        centrality(graph, Measure(Centrality.BETWEENNESS, is_weighted=True))
    sampled = centrality(graph, Measure(Centrality.BETWEENNESS, is_weighted=True, pivots=40))
    assert np.corrcoef(exact, sampled)[0, 1] > 0.8


@pytest.mark.parametrize("kind", [Centrality.CLOSENESS, Centrality.BETWEENNESS])
def test_paths_of_a_large_graph_are_refused(
    monkeypatch: pytest.MonkeyPatch, kind: Centrality
) -> None:
    monkeypatch.setattr(paths, "_MOST_DISTANCES", 10)
    monkeypatch.setattr(paths, "_STEPS", 10)
    with pytest.raises(TooLargeForExact, match="raise min_overlaps, or leave it out"):
        centrality(random_graph(2, 60, 0.2), Measure(kind, is_weighted=False))
    alone = CooccurrenceGraph.from_matrix("abcdefghijklmn", np.zeros((14, 14), np.int64), 1)
    assert not centrality(alone, Measure(kind, is_weighted=False)).any()


@pytest.mark.parametrize("vertices", [2, 3, 30])
@pytest.mark.parametrize("pivots", [1, 2, 3, 40])
def test_however_few_pivots_answer_a_number(vertices: int, pivots: int) -> None:
    graph = random_graph(1, vertices, 1.1)
    measure = Measure(Centrality.BETWEENNESS, is_weighted=True, pivots=pivots)
    values = centrality(graph, measure)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
