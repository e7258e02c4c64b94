"""Which labels meet many others: four centralities, each unweighted and weighted (section E.2)."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

from services.audit.domain.parameters import Centrality, Measure
from services.audit.engine import paths
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
        TooLargeForExact: paths through a graph that large; the message says what to ask for.
    """
    match measure.centrality:
        case Centrality.DEGREE:
            weighted = graph.edges.sum(axis=1) if measure.is_weighted else graph.degrees
            return np.asarray(weighted, dtype=np.float64)
        case Centrality.EIGENVECTOR:
            return _eigenvector(graph, measure.is_weighted)
        case Centrality.CLOSENESS:
            return paths.closeness(graph, measure)
        case Centrality.BETWEENNESS:
            return paths.betweenness(graph, measure)


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
