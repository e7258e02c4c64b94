"""What depends on one feature only: its value per row, and its value at the baseline.

A step is a *tower* to a set of features if each of its elements depends on at most one of them.
Ablating all of them at once then changes each element as ablating its own feature does, so that
one tensor `[rows, *shape]` holds the deltas of all (row, feature) pairs. The baseline side of most
towers is a single row, computed once per checkpoint.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine import operators
from services.attribution.engine.certainty import sure
from services.attribution.engine.deltas import RULES, Call, NoRule, Operand
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.device import tensor_of
from services.attribution.engine.graph import Graph, Ref, Step, Value

_FLOATS = (torch.float32, torch.float64)


class Towers:
    """The deltas of tower steps, for one set of features at a time."""

    def __init__(
        self, graph: Graph, dependencies: Dependencies, baseline: Mapping[int, Value], among: int
    ) -> None:
        self._steps = {step.index: step for step in graph.steps}
        self._constants = graph.constants
        self._dependencies = dependencies
        self._baseline = baseline
        self.among = among
        self._exact = _exact_steps(graph)
        self._masks: dict[int, Tensor | None] = {}

    def reaches(self, index: int) -> bool:
        """Return whether any of the features reaches a step."""
        if index in self._constants:
            return False
        return bool(self._dependencies.features(index) & self.among)

    def delta(self, index: int, values: Mapping[int, Value], rows: int) -> Tensor:
        """Return how much each element changes when its feature is ablated, `[rows, *shape]`."""
        step = self._steps.get(index)
        if index in self._exact or step is None:
            return self._subtracted(index, values)
        rule = RULES.get(step.operator)
        if rule is not None and step.shape is not None and step.dtype in _FLOATS:
            try:
                change: Tensor = rule(Call(step, self._operands(step, values, rows), rows))
                return change
            except NoRule:
                pass
        changed: Tensor = self.ablated(index, values, rows) - values[index]
        return changed

    def ablated(self, index: int, values: Mapping[int, Value], rows: int) -> Value:
        """Return each element with its feature ablated, computed in the shape of the values."""
        step = self._steps.get(index)
        if not self.reaches(index):
            return values.get(index, rows)
        if index in self._exact or step is None:
            mask, baseline = self._mask(index), self._baseline[index]
            if mask is None:
                return baseline.expand(values[index].shape)
            return torch.where(mask, baseline, values[index])
        changed = {i: self.ablated(i, values, rows) for i in step.inputs}
        return step.run({**self._constants, **changed}, rows)

    def _subtracted(self, index: int, values: Mapping[int, Value]) -> Tensor:
        difference: Tensor = self._baseline[index] - values[index]
        mask = self._mask(index)
        return difference if mask is None else torch.where(mask, difference, 0.0)

    def _mask(self, index: int) -> Tensor | None:
        """Return which elements any of the features reaches, `[1, *shape]`; None: all."""
        if index not in self._masks:
            owners = self._dependencies.owners(index, self.among)
            owners = sure(owners)
            reached = tensor_of(owners >= 0).unsqueeze(0)
            self._masks[index] = None if bool(reached.all()) else reached
        return self._masks[index]

    def _operands(self, step: Step, values: Mapping[int, Value], rows: int) -> list[Any]:
        def operand(argument: Any) -> Any:
            if isinstance(argument, Ref):
                return self._operand(argument.index, values, rows)
            if isinstance(argument, list):
                return [operand(a) for a in argument]
            return argument

        return [operand(a) for a in step.arguments]

    def _operand(self, index: int, values: Mapping[int, Value], rows: int) -> Any:
        if index in self._constants:
            return self._constants[index]
        value = values[index]
        if isinstance(value, int):
            return value
        if not self.reaches(index):
            return Operand(lambda: value, None)
        if not isinstance(value, Tensor) or value.dtype not in _FLOATS:
            raise NoRule("it changes and is no float")
        return Operand(lambda: value, self.delta(index, values, rows))


def _exact_steps(graph: Graph) -> frozenset[int]:
    """Return the steps whose bits do not depend on the number of rows computed together."""
    exact = {*graph.inputs, *graph.constants}
    for step in graph.steps:
        is_exact = step.operator in operators.ROW_WISE_EXACT or step.overload == "python"
        is_whole = step.shape is not None or step.is_parts or step.dtype is None
        if is_exact and is_whole and all(i in exact for i in step.inputs):
            exact.add(step.index)
    return frozenset(exact)
