"""How much arithmetic a step takes, in floating-point operations."""

import math

from services.attribution.engine.graph import Graph, Ref, Step
from services.attribution.engine.ownership import Layout
from services.attribution.engine.trunk import Trunk


def of_step(graph: Graph, step: Step) -> float:
    """Return the operations for one row."""
    size = math.prod(step.shape or (1,))
    match step.operator:
        case "linear":
            matrix = step.arguments[1]
            known = graph.constants.get(matrix.index) if isinstance(matrix, Ref) else None
            return 2.0 * size * (known.shape[1] if known is not None else 1)
        case "matmul" | "bmm":
            source = step.arguments[0]
            shape = graph.shape_of(source.index) if isinstance(source, Ref) else None
            return 2.0 * size * (shape[-1] if shape else 1)
        case _:
            return float(size)


def of_forward(graph: Graph) -> float:
    """Return the operations to score one row."""
    return sum(of_step(graph, step) for step in graph.steps)


def of_pair(trunk: Trunk) -> float:
    """Return the operations for one (row, feature) pair, apart from what is done once per row."""
    total = 0.0
    for step in trunk.structured:
        total += _structured(trunk, step)
    total += sum(of_step(trunk.graph, s) for s in (*trunk.dense, *trunk.again))
    fused = (trunk.graph.step(index) for index in trunk.fused.values())
    return total + sum(of_step(trunk.graph, s) for s in fused if s is not None)


def _structured(trunk: Trunk, step: Step) -> float:
    """Return the operations of a step whose delta is structured: those of the elements it owns."""
    if step.index not in trunk.structural:
        return of_step(trunk.graph, step)
    size = math.prod(step.shape or (1,))
    owned = _owned(trunk)
    if step.operator in ("linear", "addmm"):
        return 2.0 * size * owned
    if step.operator in ("bmm", "matmul"):
        return 2.0 * math.sqrt(size) * owned
    return owned


def _owned(trunk: Trunk) -> float:
    """Return how many elements a feature owns on average where features first meet."""
    layouts = trunk.memory.of_kind(Layout)
    counts = [layout.count(j) for layout in layouts[:1] for j in layout.columns]
    return sum(counts) / len(counts) if counts else 1.0
