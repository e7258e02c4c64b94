"""Changes to a graph that leave its answer alone and make its deltas cheaper or more exact."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from services.attribution.engine import operators
from services.attribution.engine.graph import Graph, Ref, Step, needed

_MOST_PARTS = 8


def without_sigmoid(graph: Graph) -> Graph | None:
    """Return the graph of a probability with its last sigmoid left out: it answers the logit.

    None: the probability is made in another way.
    """
    index = graph.output
    while (step := graph.step(index)) is not None:
        if step.operator == "sigmoid":
            plain = replace(step, operator="alias", target=torch.ops.aten.alias.default)
            steps = tuple(plain if s is step else s for s in graph.steps)
            return replace(graph, steps=steps)
        if step.operator not in operators.MOVES or not isinstance(step.arguments[0], Ref):
            return None
        index = step.arguments[0].index
    return None


def split_concatenations(graph: Graph, is_joint: Callable[[int], bool]) -> Graph:
    """Return the graph with `Linear(cat(x, y))` as `Linear(x) + Linear(y)` where both are joint.

    So a part that changes everywhere and one that hardly changes need not be written side by side.
    """
    constants = dict(graph.constants)
    steps: list[Step] = []
    free = 1 + max([s.index for s in graph.steps] + list(constants) + list(graph.inputs))
    for step in graph.steps:
        parts = _parts(graph, step, is_joint)
        if parts is None:
            steps.append(step)
            continue
        made = _split(graph, step, parts, free, constants)
        free += 3 * len(parts)
        steps += made
    return replace(graph, steps=needed(steps, graph.output), constants=constants)


def _parts(
    graph: Graph, step: Step, is_joint: Callable[[int], bool]
) -> list[tuple[int, int]] | None:
    """Return index and width of each part of a linear step's concatenation worth splitting."""
    if step.operator != "linear" or step.shape is None or len(step.shape) != 1:
        return None
    source = step.arguments[0]
    cat = graph.step(source.index) if isinstance(source, Ref) else None
    matrix = step.arguments[1]
    if cat is None or cat.operator not in ("cat", "concat") or matrix.index not in graph.constants:
        return None
    shapes = [(r.index, graph.shape_of(r.index)) for r in cat.arguments[0] if isinstance(r, Ref)]
    if len(shapes) != len(cat.arguments[0]) or not 1 < len(shapes) <= _MOST_PARTS:
        return None
    if sum(is_joint(index) for index, _ in shapes) < 1:
        return None
    widths = [(index, shape[0]) for index, shape in shapes if shape and len(shape) == 1]
    return widths if len(widths) == len(shapes) else None


def _split(
    graph: Graph,
    step: Step,
    parts: list[tuple[int, int]],
    free: int,
    constants: dict[int, Tensor],
) -> list[Step]:
    weight: Tensor = graph.constants[step.arguments[1].index]
    made: list[Step] = []
    start, total = 0, -1
    for k, (source, width) in enumerate(parts):
        part, map_index, sum_index = free + 3 * k, free + 3 * k + 1, free + 3 * k + 2
        constants[part] = weight[:, start : start + width].contiguous()
        start += width
        made.append(_map_of_part(step, k, map_index, source, part))
        if k == 0:
            total = map_index
            continue
        is_last = k == len(parts) - 1
        index, name = (step.index, step.name) if is_last else (sum_index, f"{step.name}_sum_{k}")
        made.append(_sum(replace(step, index=index, name=name), total, map_index))
        total = index
    return made


def _map_of_part(step: Step, number: int, index: int, source: int, weight: int) -> Step:
    """Return the linear map of one part; the bias goes with the first."""
    bias = step.arguments[2:] if number == 0 else ()
    return replace(
        step,
        index=index,
        name=f"{step.name}_part_{number}",
        arguments=(Ref(source), Ref(weight), *bias),
        inputs=(source, weight, *(b.index for b in bias if isinstance(b, Ref))),
    )


def _sum(step: Step, first: int, second: int) -> Step:
    """Return the step as the sum of two others."""
    return replace(
        step,
        operator="add",
        overload="Tensor",
        target=torch.ops.aten.add.Tensor,
        arguments=(Ref(first), Ref(second)),
        keywords={},
        inputs=(first, second),
    )
