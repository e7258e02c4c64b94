"""What depends on one feature only: its value per row, and its value at the baseline.

A step is a *tower* to a set of features if each of its elements depends on at most one of them.
Ablating all of them at once then changes each element as ablating its own feature does, so that
one tensor `[rows, *shape]` holds the deltas of all (row, feature) pairs. The baseline side of most
towers is a single row, computed once per checkpoint.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.attribution.engine import operators
from services.attribution.engine.certainty import sure
from services.attribution.engine.deltas import RULES, Call, NoRule, Operand
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.device import tensor_of
from services.attribution.engine.graph import Graph, Ref, Value

_FLOATS = (torch.float32, torch.float64)


class Towers:
    """The deltas of tower steps, for one set of features at a time."""

    def __init__(
        self, graph: Graph, dependencies: Dependencies, baseline: Mapping[int, Value], among: int
    ) -> None:
        self.steps = {step.index: step for step in graph.steps}
        self.constants = graph.constants
        self._dependencies = dependencies
        self._baseline = baseline
        self.among = among
        self._exact = _exact_steps(graph)
        self._masks: dict[int, Tensor | None] = {}

    def reaches(self, index: int) -> bool:
        """Return whether any of the features reaches a step."""
        if index in self.constants:
            return False
        return bool(self._dependencies.features(index) & self.among)

    def delta(self, index: int, values: Mapping[int, Value], rows: int) -> Tensor:
        """Return how much each element changes when its feature is ablated, `[rows, *shape]`."""
        return _Ablating(self, values, rows).delta(index)

    def ablated(self, index: int, values: Mapping[int, Value], rows: int) -> Value:
        """Return each element with its feature ablated, computed in the shape of the values."""
        return _Ablating(self, values, rows).ablated(index)

    def exact(self, index: int) -> bool:
        """Return whether a step's bits do not depend on the number of rows computed together."""
        return index in self._exact or index not in self.steps

    def subtracted(self, index: int, values: Mapping[int, Value]) -> Tensor:
        """Return how much an exact step changes."""
        difference: Tensor = self._baseline[index] - values[index]
        mask = self._mask(index)
        return difference if mask is None else torch.where(mask, difference, 0.0)

    def replaced(self, index: int, values: Mapping[int, Value]) -> Tensor:
        """Return an exact step's value with the features at their baselines."""
        mask = self._mask(index)
        baseline: Tensor = self._baseline[index]
        if mask is None:
            return baseline.expand(values[index].shape)
        return torch.where(mask, baseline, values[index])

    def _mask(self, index: int) -> Tensor | None:
        """Return which elements any of the features reaches, `[1, *shape]`; None: all."""
        if index not in self._masks:
            owners = self._dependencies.owners(index, self.among)
            owners = sure(owners)
            # Of one number an example, NumPy makes no array.
            reached = tensor_of(np.asarray(owners >= 0)).unsqueeze(0)
            self._masks[index] = None if bool(reached.all()) else reached
        return self._masks[index]


class _Ablating:
    """The towers of some rows while one is worked out: what several steps take is done once."""

    def __init__(self, towers: Towers, values: Mapping[int, Value], rows: int) -> None:
        self._towers = towers
        self._values = values
        self._rows = rows
        self._deltas: dict[int, Tensor] = {}
        self._ablated: dict[int, Value] = {}

    def delta(self, index: int) -> Tensor:
        if index not in self._deltas:
            self._deltas[index] = self._delta(index)
        return self._deltas[index]

    def ablated(self, index: int) -> Value:
        if index not in self._ablated:
            self._ablated[index] = self._value(index)
        return self._ablated[index]

    def _delta(self, index: int) -> Tensor:
        if self._towers.exact(index):
            return self._towers.subtracted(index, self._values)
        step = self._towers.steps[index]
        rule = RULES.get(step.operator)
        if rule is not None and step.shape is not None and step.dtype in _FLOATS:
            try:
                operands = [self._operand(argument) for argument in step.arguments]
                change: Tensor = rule(Call(step, operands, self._rows))
                return change
            except NoRule:
                pass
        changed: Tensor = self.ablated(index) - self._values[index]
        return changed

    def _value(self, index: int) -> Value:
        if not self._towers.reaches(index):
            return self._values.get(index, self._rows)
        if self._towers.exact(index):
            return self._towers.replaced(index, self._values)
        step = self._towers.steps[index]
        changed = {i: self.ablated(i) for i in step.inputs}
        return step.run({**self._towers.constants, **changed}, self._rows)

    def _operand(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._operand(a) for a in argument]
        if not isinstance(argument, Ref):
            return argument
        index = argument.index
        if index in self._towers.constants:
            return self._towers.constants[index]
        value = self._values[index]
        if isinstance(value, int):
            return value
        if not self._towers.reaches(index):
            return Operand(lambda: value, None)
        if not isinstance(value, Tensor) or value.dtype not in _FLOATS:
            raise NoRule("it changes and is no float")
        return Operand(lambda: value, self.delta(index))


def _exact_steps(graph: Graph) -> frozenset[int]:
    """Return the steps whose bits do not depend on the number of rows computed together."""
    exact = {*graph.inputs, *graph.constants}
    for step in graph.steps:
        is_exact = step.operator in operators.ROW_WISE_EXACT or step.overload == "python"
        is_whole = step.shape is not None or step.is_parts or step.dtype is None
        if is_exact and is_whole and all(i in exact for i in step.inputs):
            exact.add(step.index)
    return frozenset(exact)
