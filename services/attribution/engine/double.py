"""A graph in float64: what it answers more exactly shows how well float32 can know it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine.graph import Graph, Step, Value


def in_double(graph: Graph) -> Graph:
    """Return the graph with every float32 value in float64; float32 arguments are to be widened.

    Values of fewer bits stay as they are: a model rounds to them on purpose.
    """
    constants = {index: widened(value) for index, value in graph.constants.items()}
    return replace(graph, steps=tuple(_step(s) for s in graph.steps), constants=constants)


def widened(value: Value) -> Value:
    """Return a value with its float32 tensors in float64."""
    if isinstance(value, Tensor):
        return value.double() if value.dtype == torch.float32 else value
    if isinstance(value, list | tuple):
        return [widened(v) for v in value]
    return value


def _step(step: Step) -> Step:
    target = partial(_called, step.target)
    if (step.operator, step.overload) == ("view", "dtype"):
        # It names how bits are to be read, not how exactly to compute.
        return replace(step, target=target)
    keywords = {name: _argument(a) for name, a in step.keywords.items()}
    arguments = tuple(_argument(a) for a in step.arguments)
    return replace(step, target=target, arguments=arguments, keywords=keywords)


def _called(target: Callable[..., Value], *arguments: Any, **keywords: Any) -> Value:
    return widened(target(*arguments, **keywords))


def _argument(argument: Any) -> Any:
    return torch.float64 if argument is torch.float32 else argument
