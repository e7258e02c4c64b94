"""Propagation by the lineage graph against networkx, on the same questions."""

import statistics
import time

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.observations import Observations
from services.aggregator.domain.lineage.propagation import Limits, Propagation, trace
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.lineage.spans import micros
from tests.bench.lineage import peer
from tests.bench.lineage.world import NOON, World

_BOUNDS, _LIMITS = Bounds(), Limits()
_QUESTION = peer.Question(micros(NOON), _BOUNDS.depth, _BOUNDS.fan_out, _LIMITS.nodes)


def compared(world: World, per_kind: int) -> tuple[float, float]:
    """Return how many times longer networkx takes: for all questions together, and the median."""
    graph = LineageGraph.of(world.state())
    seen = Observations.of(world.sightings(), graph.nodes)
    theirs, seen_by_them = peer.graph_of(world), _seen(seen)
    times = []
    for origin in world.origins(per_kind, seed=7):
        started = time.process_time()
        ours = trace(graph.at(NOON), origin, seen, _BOUNDS, _LIMITS)
        between = time.process_time()
        told = peer.trace(theirs, origin, seen_by_them, _QUESTION)
        times.append((between - started, time.process_time() - between))
        _check(graph, ours, told)
    together = sum(their for _, their in times) / sum(our for our, _ in times)
    return together, statistics.median(their / our for our, their in times)


def _seen(seen: Observations) -> peer.Seen:
    moved: NDArray[np.intp] = np.flatnonzero(seen.moved)
    return peer.Seen(
        frozenset(np.flatnonzero(seen.seen).tolist()),
        dict(zip(moved.tolist(), seen.since[moved].tolist(), strict=True)),
    )


def _check(graph: LineageGraph, ours: Propagation, theirs: dict[int, peer.Told]) -> None:
    """Stop if both tell of a node and not the same: of equally strong ones each tells its own."""
    for node in ours.nodes:
        number = graph.nodes.find(node.node)
        told = theirs.get(number) if number is not None else None
        if node.depth >= 0 and told is not None:
            assert told.role == node.role.name, node
            assert np.isclose(told.strength, node.path_strength, rtol=1e-5), node
