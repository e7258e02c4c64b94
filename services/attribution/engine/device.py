"""Where a program computes: what it makes lies on the device in force, CPU unless said otherwise.

Constants lie there from the start, examples are copied there, answers are copied back; everything
in between follows from these. An accelerator is fed by the caller's thread alone.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.engine.graph import Graph, Step, Value

CPU = torch.device("cpu")


def computing_on(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which this thread makes its tensors on a device."""
    return nullcontext() if device == CPU else device


def tensor_of(array: NDArray[Any]) -> Tensor:
    """Return an array as a tensor on the device in force; on the CPU they share their memory."""
    return torch.from_numpy(array).to(torch.get_default_device())


def array_of(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array; on the CPU they share their memory."""
    return np.asarray(tensor.cpu().numpy())


def moved(graph: Graph, device: torch.device) -> Graph:
    """Return the graph with its constants on a device, and steps that name one naming that."""
    if device == CPU:
        return graph
    constants = {index: _constant(value, device) for index, value in graph.constants.items()}
    steps = tuple(_step(step, device) for step in graph.steps)
    return replace(graph, steps=steps, constants=constants)


def _constant(value: Value, device: torch.device) -> Value:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return [_constant(v, device) for v in value]
    return value


def _step(step: Step, device: torch.device) -> Step:
    keywords = {name: _argument(a, device) for name, a in step.keywords.items()}
    return replace(step, arguments=tuple(_arguments(step.arguments, device)), keywords=keywords)


def _arguments(arguments: Sequence[Any], device: torch.device) -> list[Any]:
    return [_argument(a, device) for a in arguments]


def _argument(argument: Any, device: torch.device) -> Any:
    if isinstance(argument, torch.device):
        return device
    return _arguments(argument, device) if isinstance(argument, list) else argument
