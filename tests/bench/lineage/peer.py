"""The question of how a shift spreads, asked of networkx: the same bounds, the same answer.

A graph with times and strengths on its edges; networkx has no strongest path of so many edges at
most, so this walks its adjacency level by level, as one does there, and leaves to it what it has:
who lies upstream of whom, and what a shift leads to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from services.aggregator.domain.lineage.spans import FOREVER, micros
from tests.bench.lineage.world import SINCE, World

_PATHS = 3
ROOT, CARRIER, VICTIM, UNAFFECTED = "ROOT", "CARRIER", "VICTIM", "UNAFFECTED"


@dataclass(frozen=True)
class Seen:
    """What was seen, by number of the node."""

    seen: frozenset[int]
    moved: Mapping[int, int]
    """Since when."""


@dataclass(frozen=True)
class Told:
    """One node of the answer."""

    role: str
    strength: float
    paths: list[list[int]]


def graph_of(world: World) -> nx.DiGraph:
    """Return the world as networkx has it."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(world.nodes)))
    since = micros(SINCE)
    graph.add_edges_from(
        (source, target, {"strength": strength, "start": since, "end": FOREVER})
        for source, target, strength in zip(
            world.sources.tolist(), world.targets.tolist(), world.strengths.tolist(), strict=True
        )
    )
    return graph


@dataclass(frozen=True)
class Question:
    """How much of the graph, at which time, the answer may rest on."""

    at: int
    depth: int
    fan_out: int
    nodes: int


def trace(graph: nx.DiGraph, origin: int, seen: Seen, question: Question) -> dict[int, Told]:
    """Return the nodes downstream that would be told, with roles and paths, as `propagation` has
    them; and look for roots upstream."""
    above = _reached(graph.pred, origin, question)
    below = _reached(graph.succ, origin, question)
    roles = _roles(below, origin, seen)
    is_quiet = origin in seen.seen and origin not in seen.moved
    roles[origin] = UNAFFECTED if is_quiet else ROOT
    if not is_quiet and any(
        role in (ROOT, CARRIER) for role in _roots(above, origin, seen).values()
    ):
        came = any(role in (CARRIER, VICTIM) for node, role in roles.items() if node != origin)
        roles[origin] = CARRIER if came else VICTIM
    order = sorted(
        below.strengths,
        key=lambda node: (
            node != origin,
            {ROOT: 0, CARRIER: 1, VICTIM: 2, UNAFFECTED: 3}[roles[node]],
            -below.strengths[node],
        ),
    )
    return {
        node: Told(roles[node], below.strengths[node], _paths(below, node, question.depth))
        for node in order[: question.nodes]
    }


@dataclass(frozen=True)
class _Reached:
    strengths: dict[int, float]
    paths: dict[int, tuple[int, ...]]
    edges: nx.DiGraph
    """Those that were followed, away from the origin."""


def _reached(
    neighbours: Mapping[int, Mapping[int, Mapping[str, float]]],
    origin: int,
    question: Question,
) -> _Reached:
    strengths = {origin: 1.0}
    paths: dict[int, tuple[int, ...]] = {origin: (origin,)}
    front = {origin: (1.0, paths[origin])}
    edges: list[tuple[int, int, float]] = []
    for _ in range(question.depth):
        following: dict[int, tuple[float, tuple[int, ...]]] = {}
        for node, (strength, path) in front.items():
            out = [
                (edge["strength"], other)
                for other, edge in neighbours[node].items()
                if edge["start"] <= question.at < edge["end"]
            ]
            if len(out) > question.fan_out:
                out = sorted(out, reverse=True)[: question.fan_out]
            for weight, other in out:
                edges.append((node, other, weight))
                product = strength * weight
                if product > strengths.get(other, 0.0) and other not in path:
                    strengths[other] = product
                    following[other] = (product, (*path, other))
        paths.update({node: path for node, (_, path) in following.items()})
        front = following
    followed = nx.DiGraph()
    followed.add_node(origin)
    followed.add_weighted_edges_from(edges, weight="strength")
    return _Reached(strengths, paths, followed)


def _roles(below: _Reached, origin: int, seen: Seen) -> dict[int, str]:
    moved = {node: seen.moved[node] for node in below.strengths if node in seen.moved}
    if moved and origin not in seen.seen:
        moved[origin] = min(moved.values())
    upstream = {node: nx.ancestors(below.edges, node) for node in moved}
    leading = set().union(*upstream.values()) if moved else set()
    return {
        node: _role(node, moved, upstream, leading, hidden=node not in seen.seen)
        for node in below.strengths
    }


def _role(
    node: int,
    moved: Mapping[int, int],
    upstream: Mapping[int, set[int]],
    leading: set[int],
    *,
    hidden: bool,
) -> str:
    if node not in moved:
        return CARRIER if hidden and node in leading else UNAFFECTED
    explained = any(
        moved[other] < moved[node] or (moved[other] == moved[node] and node not in upstream[other])
        for other in upstream[node]
        if other in moved
    )
    if not explained:
        return ROOT
    return CARRIER if node in leading else VICTIM


def _roots(above: _Reached, origin: int, seen: Seen) -> dict[int, str]:
    latest = seen.moved.get(origin, FOREVER)
    moved = {
        node: seen.moved[node]
        for node in above.strengths
        if node != origin and seen.moved.get(node, FOREVER) <= latest and node in seen.moved
    }
    further = {node: nx.descendants(above.edges, node) for node in moved}
    return {node: _role(node, moved, further, set(moved), hidden=False) for node in moved}


def _paths(below: _Reached, node: int, depth: int) -> list[list[int]]:
    found = [list(below.paths[node])]
    before = sorted(
        (
            (below.strengths[other] * edge["strength"], other)
            for other, edge in below.edges.pred[node].items()
        ),
        reverse=True,
    )
    for _, other in before:
        path = [*below.paths[other], node]
        if len(found) < _PATHS and path not in found and len(path) <= depth + 1:
            found.append(path)
    return found
