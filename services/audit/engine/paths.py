"""Centralities by shortest paths: closeness and betweenness (section E.2).

Labels that meet nobody are on no path and cost nothing: paths are sought among the others only.
"""

import numpy as np
import rustworkx
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from services.audit.domain.errors import TooLargeForExact
from services.audit.domain.parameters import Centrality, Measure, PathLength
from services.audit.engine import weighted_betweenness
from services.audit.engine.graph import CooccurrenceGraph

_MOST_DISTANCES = 15_000
"""Labels whose distances from each other take two gigabytes."""
_STEPS = 2e10
"""Vertices times edges that rustworkx takes some minutes for."""


def check_size(graph: CooccurrenceGraph, measure: Measure) -> None:
    """Check that a graph is small enough for an exact answer.

    Raises:
        TooLargeForExact: what to ask for instead.
    """
    count, edges = int((graph.degrees > 0).sum()), graph.edges.nnz // 2
    if measure.centrality is Centrality.CLOSENESS and count > _MOST_DISTANCES:
        raise TooLargeForExact(
            f"closeness of {count} labels takes all their distances from each other: raise "
            "min_overlaps, or leave it out",
            field="measures",
        )
    if measure.centrality is not Centrality.BETWEENNESS:
        return
    if measure.is_weighted and measure.pivots is None:
        weighted_betweenness.check_size(count, edges)
    if not measure.is_weighted and count * 2 * edges > _STEPS:
        raise TooLargeForExact(
            f"betweenness of {count} labels and {edges} edges would take hours: raise "
            "min_overlaps, or leave it out",
            field="measures",
        )


def closeness(graph: CooccurrenceGraph, measure: Measure) -> NDArray[np.float64]:
    """Return reciprocal mean distances to what can be reached, times the share that can be, [L].

    The share keeps a pair of labels that know only each other from coming before all hubs.
    """
    check_size(graph, measure)
    lengths = _connected(_lengths(graph, measure), graph)
    distances = shortest_path(lengths, directed=False, unweighted=not measure.is_weighted)
    reached = np.isfinite(distances)
    others = reached.sum(axis=1) - 1.0
    total = np.where(reached, distances, 0.0).sum(axis=1)
    return _of_all(others / total * others / max(1, len(graph.names) - 1), graph)


def betweenness(graph: CooccurrenceGraph, measure: Measure) -> NDArray[np.float64]:
    """Return the share of the shortest paths among all pairs of others that pass through, [L]."""
    check_size(graph, measure)
    lengths = _connected(_lengths(graph, measure), graph)
    count = lengths.shape[0]
    if not measure.is_weighted:
        shares = _unweighted(lengths)
    elif measure.pivots is None:
        shares = weighted_betweenness.exact(lengths)
    else:
        shares = weighted_betweenness.approximate(lengths, measure.pivots, measure.seed)
    return _of_all(shares * _pairs(count) / max(1, _pairs(len(graph.names))), graph)


def _unweighted(lengths: csr_array) -> NDArray[np.float64]:
    count = lengths.shape[0]
    entries = lengths.tocoo()
    once = entries.row < entries.col
    graph = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(count))
    graph.add_edges_from_no_data(
        list(zip(entries.row[once].tolist(), entries.col[once].tolist(), strict=True))
    )
    found = rustworkx.betweenness_centrality(graph, normalized=True)
    return np.array([found[vertex] for vertex in range(count)])


def _lengths(graph: CooccurrenceGraph, measure: Measure) -> csr_array:
    lengths = graph.edges.astype(np.float64)
    if measure.path_length is PathLength.INVERSE_STRENGTH:
        lengths.data = 1.0 / lengths.data
    return lengths


def _connected(lengths: csr_array, graph: CooccurrenceGraph) -> csr_array:
    labels = np.flatnonzero(graph.degrees)
    return csr_array(lengths[labels][:, labels])


def _of_all(values: NDArray[np.float64], graph: CooccurrenceGraph) -> NDArray[np.float64]:
    """Return values of the labels that meet others as values of all, 0 for the rest."""
    found = np.zeros(len(graph.names))
    found[graph.degrees > 0] = values
    return found


def _pairs(count: int) -> float:
    return max(0, count - 1) * max(0, count - 2) / 2
