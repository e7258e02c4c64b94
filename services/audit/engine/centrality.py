"""Which labels meet many others: four centralities, each unweighted and weighted (section E.2)."""

import numpy as np
import rustworkx
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path
from scipy.sparse.linalg import eigsh

from services.audit.domain.parameters import Centrality, Measure, PathLength
from services.audit.engine import weighted_betweenness
from services.audit.engine.graph import CooccurrenceGraph

_DENSE = 64
"""Vertices below which Lanczos iterations do not pay."""


def centrality(graph: CooccurrenceGraph, measure: Measure) -> NDArray[np.float64]:
    """Return the centrality of each label.

    Args:
        graph: L labels; isolated ones have centrality 0.
        measure: which centrality.

    Returns:
        [L], finite and not negative.

    Raises:
        TooLargeForExact: exact weighted betweenness of a graph that large; ask for pivots.
    """
    match measure.centrality:
        case Centrality.DEGREE:
            weighted = graph.edges.sum(axis=1) if measure.is_weighted else graph.degrees
            return np.asarray(weighted, dtype=np.float64)
        case Centrality.EIGENVECTOR:
            return _eigenvector(graph, measure.is_weighted)
        case Centrality.CLOSENESS:
            return _closeness(graph, measure)
        case Centrality.BETWEENNESS:
            return _betweenness(graph, measure)


def check_size(graph: CooccurrenceGraph, measure: Measure) -> None:
    """Check that a graph is small enough for an exact answer, where one is asked for.

    Raises:
        TooLargeForExact: exact weighted betweenness of a graph that large; ask for pivots.
    """
    is_hard = measure.centrality is Centrality.BETWEENNESS and measure.is_weighted
    if is_hard and measure.pivots is None:
        weighted_betweenness.check_size(len(graph.names), graph.edges.nnz // 2)


def most_central(
    graph: CooccurrenceGraph, values: NDArray[np.float64], m: int
) -> NDArray[np.int64]:
    """Return up to m labels by falling centrality, ties in the labels' order.

    Isolated vertices are left out whatever their value, for they can be no trigger.
    """
    order = np.argsort(-values, kind="stable")
    return order[graph.degrees[order] > 0][:m]


def _eigenvector(graph: CooccurrenceGraph, is_weighted: bool) -> NDArray[np.float64]:
    matrix = graph.edges.astype(np.float64)
    if not is_weighted:
        matrix.data[:] = 1.0
    if not matrix.nnz:
        return np.zeros(len(graph.names))
    if len(graph.names) <= _DENSE:
        leading = np.linalg.eigh(matrix.toarray())[1][:, -1]
    else:
        start = np.ones(len(graph.names))
        leading = eigsh(matrix, k=1, which="LA", v0=start)[1][:, 0]
    # The leading eigenvector of a non-negative matrix has one sign, up to rounding.
    return np.abs(np.asarray(leading, dtype=np.float64))


def _closeness(graph: CooccurrenceGraph, measure: Measure) -> NDArray[np.float64]:
    """Reciprocal mean distance to what can be reached, times the share that can be reached.

    The share keeps a pair of labels that know only each other from coming before all hubs.
    """
    lengths = _lengths(graph, measure)
    distances = shortest_path(lengths, directed=False, unweighted=not measure.is_weighted)
    reached = np.isfinite(distances)
    others = reached.sum(axis=1) - 1.0
    total = np.where(reached, distances, 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        closeness = others / total * others / max(1, len(graph.names) - 1)
    return np.where(others > 0, closeness, 0.0)


def _betweenness(graph: CooccurrenceGraph, measure: Measure) -> NDArray[np.float64]:
    count = len(graph.names)
    if not measure.is_weighted:
        unweighted = rustworkx.PyGraph(multigraph=False)
        unweighted.add_nodes_from(range(count))
        unweighted.add_edges_from_no_data(_pairs(graph.edges))
        found = rustworkx.betweenness_centrality(unweighted, normalized=True)
        return np.array([found[vertex] for vertex in range(count)])
    check_size(graph, measure)
    lengths = _lengths(graph, measure)
    if measure.pivots is None:
        return weighted_betweenness.exact(lengths)
    return weighted_betweenness.approximate(lengths, measure.pivots, measure.seed)


def _lengths(graph: CooccurrenceGraph, measure: Measure) -> csr_array:
    lengths = graph.edges.astype(np.float64)
    if measure.path_length is PathLength.INVERSE_STRENGTH:
        lengths.data = 1.0 / lengths.data
    return lengths


def _pairs(edges: csr_array) -> list[tuple[int, int]]:
    entries = edges.tocoo()
    once = entries.row < entries.col
    return list(zip(entries.row[once].tolist(), entries.col[once].tolist(), strict=True))
