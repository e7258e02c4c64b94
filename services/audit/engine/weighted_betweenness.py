"""Betweenness over weighted paths: exact up to a size, by igraph where that is installed."""

from importlib.util import find_spec

import networkx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from services.audit.domain.errors import TooLargeForExact

_STEPS = 2e9
"""Vertices times edges that networkx takes some minutes for."""
_FEWEST_PIVOTS = 2
_IGRAPH_STEPS = 20 * _STEPS
"""Those that igraph takes as long for: it was 35 times as fast on Open Images."""


def has_igraph() -> bool:
    """Whether igraph is installed: under the GPL, it comes with an extra of its own only."""
    return find_spec("igraph") is not None


def check_size(count: int, edges: int) -> None:
    """Check that an exact answer takes minutes at most.

    Args:
        count: L, vertices.
        edges: undirected.

    Raises:
        TooLargeForExact: ask for pivots.
    """
    if count * 2 * edges > (_IGRAPH_STEPS if has_igraph() else _STEPS):
        raise TooLargeForExact(
            f"exact weighted betweenness of {count} labels and {edges} edges would take hours: "
            "give a number of pivots for an approximation, raise min_overlaps, or install the "
            "extra igraph",
            field="pivots",
        )


def exact(lengths: csr_array) -> NDArray[np.float64]:
    """Return the share of shortest paths through each vertex, [L].

    Args:
        lengths: [L, L] symmetric, of edges.
    """
    return by_igraph(lengths) if has_igraph() else by_networkx(lengths, None, 0)


def approximate(lengths: csr_array, pivots: int, seed: int) -> NDArray[np.float64]:
    """Return an estimate from the shortest paths of so many vertices, drawn by seed, [L]."""
    # Of one pivot alone, its own betweenness is not known: networkx says NaN.
    return by_networkx(lengths, min(max(pivots, _FEWEST_PIVOTS), lengths.shape[0]), seed)


def by_networkx(lengths: csr_array, pivots: int | None, seed: int) -> NDArray[np.float64]:
    """Return it by networkx, [L]."""
    between = networkx.betweenness_centrality(
        networkx.from_scipy_sparse_array(lengths, edge_attribute="length"),
        k=pivots,
        weight="length",
        seed=seed,
    )
    return np.array([between[vertex] for vertex in range(lengths.shape[0])])


def by_igraph(lengths: csr_array) -> NDArray[np.float64]:
    """Return it by igraph, [L]."""
    import igraph  # noqa: PLC0415 - needs the extra

    count = lengths.shape[0]
    entries = lengths.tocoo()
    once = entries.row < entries.col
    pairs = list(zip(entries.row[once].tolist(), entries.col[once].tolist(), strict=True))
    graph = igraph.Graph(n=count, edges=pairs, directed=False)
    between = graph.betweenness(weights=entries.data[once].tolist(), directed=False)
    pairs_of_others = max(1.0, (count - 1) * (count - 2) / 2)
    shares: NDArray[np.float64] = np.asarray(between, dtype=np.float64) / pairs_of_others
    return shares
