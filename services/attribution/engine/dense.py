"""The deltas of joint steps written out, one row per pair, for some pairs at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine.block import Block
from services.attribution.engine.certainty import sure
from services.attribution.engine.deltas import RULES, Call, NoRule, Operand
from services.attribution.engine.device import tensor_of
from services.attribution.engine.fused import Relu, relu_linear
from services.attribution.engine.graph import Ref, Step, Value
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.trunk import Trunk
from services.attribution.engine.written import Chunk, Written

_FLOATS = (torch.float32, torch.float64)


class DensePart:
    """Written-out deltas of joint steps for some pairs."""

    def __init__(
        self,
        trunk: Trunk,
        block: Block,
        pairs: Pairs,
        scratch: Scratch,
        *,
        chunk: Chunk | None = None,
        written: Mapping[int, Written] | None = None,
    ) -> None:
        """Take what is known of earlier steps from `written`, of which the pairs are a chunk."""
        self._trunk = trunk
        self._scratch = scratch
        self._block = block
        self._pairs = pairs
        self._chunk = chunk
        self._row = None if chunk is None else chunk.row
        self._written = written or {}
        self.known: dict[int, Value] = {}

    def run(self, steps: Sequence[Step]) -> None:
        """Work through dense steps."""
        for step in steps:
            relu = self._trunk.fused.get(step.index)
            if relu is None:
                self.known[step.index] = self.by_rule(step)
            else:
                self.known[step.index] = self._fused(step, relu)

    def _fused(self, step: Step, activation: int) -> Tensor:
        """Return the delta of a linear step that follows a ReLU."""
        trunk = self._trunk
        index = sure(trunk.graph.step(activation)).inputs[0]
        weight: Tensor = trunk.graph.constants[step.arguments[1].index]
        matrix: Tensor = trunk.memory.recall(
            ("transposed", step.index), lambda: weight.t().contiguous()
        )
        at = self._pairs.rows if self._row is None else slice(self._row, self._row + 1)
        relu = self._block.relu(index).at(at)
        return relu_linear(step.index, self._shifted(index, relu), relu, matrix, self._scratch)

    def _shifted(self, index: int, relu: Relu) -> Tensor:
        """Return a step's delta plus its value where that is below zero; it is not wanted again."""
        if index in self.known:
            delta: Tensor = self.known.pop(index)
            return torch.add(delta, relu.below, out=delta)
        return self._written[index].out(sure(self._chunk), relu.below)

    def by_rule(self, step: Step) -> Value:
        """Return a step's delta.

        Raises:
            NoRule: no rule covers it.
        """
        operands = [self._operand(a) for a in step.arguments]
        return RULES[step.operator](Call(step, operands, self._pairs.count))

    def ablated(self, index: int) -> Tensor:
        """Return a step's value with each pair's feature ablated."""
        base: Tensor = self._block.values[index]
        value = base.index_select(0, self._pairs.rows)
        delta = self._of_joint(index)
        if delta is not None:
            return value.add_(delta)
        towers = self._trunk.towers
        if not self._pairs.features or not towers.reaches(index):
            return value
        layout = self._trunk.layout(index)
        ablated = self._block.ablated(self._trunk, index)
        flat, changed = value.reshape(len(value), -1), ablated.reshape(len(base), -1)
        for feature, start, end in self._pairs.spans():
            columns = layout.columns.get(feature)
            if columns is not None:
                rows = self._pairs.rows[start:end]
                flat[start:end, columns] = changed[:, columns].index_select(0, rows)
        return flat.reshape(value.shape)

    def _operand(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._operand(a) for a in argument]
        if not isinstance(argument, Ref):
            return argument
        index, trunk = argument.index, self._trunk
        if index in trunk.graph.constants:
            return trunk.graph.constants[index]
        value = self._block.values[index]
        if isinstance(value, int):
            return value // self._block.rows * self._pairs.count
        return Operand(lambda: self._take(value), self._delta(index))

    def _take(self, value: Value) -> Any:
        if not isinstance(value, Tensor):
            return [self._take(v) for v in value]
        row = self._row
        return value[self._pairs.rows] if row is None else value[row : row + 1]

    def _of_joint(self, index: int) -> Value:
        """Return the delta of a joint step; None: it is none."""
        if index not in self.known and index in self._written:
            out = self._written[index].out(sure(self._chunk))
            self.known[index] = out.view(-1, *sure(self._trunk.graph.shape_of(index)))
        return self.known.get(index)

    def _delta(self, index: int) -> Value:
        known = self._of_joint(index)
        towers = self._trunk.towers
        if known is not None or not towers.reaches(index):
            return known
        value = self._block.values[index]
        if not isinstance(value, Tensor) or value.dtype not in _FLOATS:
            raise NoRule("it changes and is no float")
        delta = self._block.delta(self._trunk, index)
        owners = self._trunk.dependencies.owners(index, self._trunk.among)
        owners = sure(owners)
        shape = [-1] + [1] * owners.ndim
        mine = tensor_of(owners).unsqueeze(0) == self._pairs.owners.reshape(shape)
        return torch.where(mine, self._take(delta), 0.0)
