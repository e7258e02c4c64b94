"""Runs a trunk for the pairs of a block: structured, then dense in chunks, then again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.deltas import RULES, Call, NoRule, Operand
from services.attribution.engine.device import tensor_of
from services.attribution.engine.fused import relu_linear
from services.attribution.engine.graph import Ref, Step, Value
from services.attribution.engine.joins import JOINS, Site
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.structure import Columns, Delta, Layout, Own, columns_of, plain
from services.attribution.engine.trunk import Trunk

_FLOATS = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Block:
    """The values of all steps for some rows."""

    values: Mapping[int, Value]
    rows: int
    _towers: dict[tuple[str, int, int], Any] = field(default_factory=dict)

    def ablated(self, trunk: Trunk, index: int) -> Tensor:
        """Return a tower step's value with the trunk's features ablated, made once a block."""
        key = ("ablated", trunk.among, index)
        if key not in self._towers:
            self._towers[key] = trunk.towers.ablated(index, self.values, self.rows)
        ablated: Tensor = self._towers[key]
        return ablated

    def delta(self, trunk: Trunk, index: int) -> Tensor:
        """Return how a tower step changes when the trunk's features are ablated, once a block."""
        key = ("delta", trunk.among, index)
        if key not in self._towers:
            self._towers[key] = trunk.towers.delta(index, self.values, self.rows)
        delta: Tensor = self._towers[key]
        return delta


class StructuredPart:
    """The deltas of joint steps for all pairs of a block."""

    def __init__(self, trunk: Trunk, block: Block, pairs: Pairs, scratch: Scratch) -> None:
        self._trunk = trunk
        self._scratch = scratch
        self._block = block
        self._pairs = pairs
        self._towers: dict[int, Delta] = {}
        self.known: dict[int, Delta | list[Tensor]] = {}

    def run(self) -> None:
        """Work through the structured steps, forgetting what no later step wants."""
        for step in self._trunk.structured:
            if step.index in self._trunk.structural:
                self.known[step.index] = self.by_rule(step)
            else:
                self.known[step.index] = self.written_out(step)

    def by_rule(self, step: Step) -> Delta:
        """Return a step's delta in structured form.

        Raises:
            NoStructure: no rule keeps it.
        """
        trunk, block = self._trunk, self._block
        site = Site(
            step,
            trunk.graph,
            self._pairs,
            block.rows,
            block.values,
            self.delta,
            self._scratch,
            trunk.memory,
        )
        return JOINS[step.operator](site)

    def written_out(self, step: Step) -> Any:
        """Return a step's delta by its rule for written-out deltas."""
        part = DensePart(self._trunk, self._block, self._pairs, self._scratch)
        for index in step.inputs:
            known = self.known.get(index)
            if isinstance(known, Delta):
                shape = self._trunk.graph.shape_of(index)
                shape = sure(shape)
                part.known[index] = known.dense().reshape(self._pairs.count, *shape)
            elif known is not None:
                part.known[index] = known
        answer = part.by_rule(step)
        return plain(self._pairs, answer) if isinstance(answer, Tensor) else answer

    def delta(self, index: int) -> Delta | None:
        """Return the delta of a step; None: no feature of the class reaches it."""
        known = self.known.get(index)
        if isinstance(known, Delta):
            return known
        if known is not None or not self._trunk.towers.reaches(index):
            return None
        if index not in self._towers:
            self._towers[index] = self._of_tower(index)
        return self._towers[index]

    def _of_tower(self, index: int) -> Delta:
        trunk, block, pairs = self._trunk, self._block, self._pairs
        delta = trunk.towers.delta(index, block.values, block.rows).reshape(block.rows, -1)
        layout = tower_layout(trunk, index)
        values = {
            feature: delta[:, layout.columns[feature]].index_select(0, pairs.rows[start:end])
            for feature, start, end in pairs.spans()
            if feature in layout.columns
        }
        return Delta(pairs, delta.shape[1], (), Own(layout, values))


class DensePart:
    """Written-out deltas of joint steps for some pairs."""

    def __init__(self, trunk: Trunk, block: Block, pairs: Pairs, scratch: Scratch) -> None:
        self._trunk = trunk
        self._scratch = scratch
        self._block = block
        self._pairs = pairs
        rows = pairs.rows
        is_one_row = len(rows) > 0 and bool(rows[0] == rows[-1]) and bool((rows == rows[0]).all())
        self._rows = rows[:1] if is_one_row else rows
        self.known: dict[int, Value] = {}

    def run(self) -> None:
        """Work through the dense steps."""
        for step in self._trunk.dense:
            relu = self._trunk.fused.get(step.index)
            if relu is None:
                self.known[step.index] = self.by_rule(step)
            else:
                self.known[step.index] = self._fused(step, relu)

    def _fused(self, step: Step, relu: int) -> Tensor:
        """Return the delta of a linear step that follows a ReLU."""
        trunk = self._trunk
        first = trunk.graph.step(relu)
        first = sure(first)
        index = first.inputs[0]
        weight: Tensor = trunk.graph.constants[step.arguments[1].index]
        matrix: Tensor = trunk.memory.recall(
            ("transposed", step.index), lambda: weight.t().contiguous()
        )
        value: Tensor = self._take(self._block.values[index])
        delta: Tensor = self.known.pop(index)
        return relu_linear(step.index, delta, value, matrix, self._scratch)

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
        if index in self.known:
            return value.add_(self.known[index])
        towers = self._trunk.towers
        if not self._pairs.features or not towers.reaches(index):
            return value
        layout = tower_layout(self._trunk, index)
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
        if isinstance(value, Tensor):
            return value[self._rows]
        return [self._take(v) for v in value]

    def _delta(self, index: int) -> Value:
        if index in self.known:
            return self.known[index]
        towers = self._trunk.towers
        if not towers.reaches(index):
            return None
        value = self._block.values[index]
        if not isinstance(value, Tensor) or value.dtype not in _FLOATS:
            raise NoRule("it changes and is no float")
        delta = self._block.delta(self._trunk, index)
        owners = self._trunk.dependencies.owners(index, self._trunk.among)
        owners = sure(owners)
        shape = [-1] + [1] * owners.ndim
        mine = tensor_of(owners).unsqueeze(0) == self._pairs.owners.reshape(shape)
        return torch.where(mine, delta[self._rows], 0.0)


def run(trunk: Trunk, block: Block, pairs: Pairs, chunk: int, scratch: Scratch) -> Tensor:
    """Return the change of the output for every pair, `[pairs]`."""
    structured = StructuredPart(trunk, block, pairs, scratch)
    structured.run()
    output = trunk.graph.output
    written = {i: sure(structured.delta(i)) for i in trunk.written()}
    if output in written:
        return written[output].dense().reshape(-1)
    written = {i: d.ready() for i, d in written.items()}
    answer = torch.empty(pairs.count)
    reference = _reference(trunk, block, chunk, scratch) if trunk.again else None
    chunks = _fixed_chunks(pairs, chunk) if trunk.again else _row_chunks(pairs, block.rows, chunk)
    for positions in chunks:
        some = pairs.take(positions) if trunk.again else pairs.pick(positions)
        part = DensePart(trunk, block, some, scratch)
        part.known = {i: _picked(trunk, i, t, positions, scratch) for i, t in written.items()}
        part.run()
        if reference is None:
            answer[positions] = part.known[output].reshape(-1)
        else:
            answer[positions] = _again(trunk, part, some.count, chunk) - reference[some.rows]
    return answer


def _picked(trunk: Trunk, index: int, delta: Delta, positions: Tensor, scratch: Scratch) -> Tensor:
    """Return the deltas of some pairs, written out."""
    picked = scratch.matrix(("picked", index), len(positions), delta.width)
    torch.index_select(sure(delta.base), 0, positions, out=picked)
    rows = delta.pairs.rows[positions]
    for term in delta.terms[1:]:
        amounts, factor = term.amounts[positions], sure(term.factor)
        if len(factor) > 1:
            factor = factor[rows[:1]] if bool((rows == rows[0]).all()) else factor[rows]
        picked.addcmul_(amounts, factor)
    return picked.view(-1, *sure(trunk.graph.shape_of(index)))


def _row_chunks(pairs: Pairs, rows: int, chunk: int) -> Iterator[Tensor]:
    """Yield positions of whole rows' pairs, some `chunk` at a time."""
    order, starts = pairs.by_row(rows)
    first = 0
    for row in range(1, rows + 1):
        is_full = row == rows or starts[row + 1] - starts[first] > chunk
        if is_full and starts[row] > starts[first]:
            yield order[starts[first] : starts[row]]
        if is_full:
            first = row


def _fixed_chunks(pairs: Pairs, chunk: int) -> Iterator[Tensor]:
    for start in range(0, pairs.count, chunk):
        yield torch.arange(start, min(start + chunk, pairs.count))


def _reference(trunk: Trunk, block: Block, chunk: int, scratch: Scratch) -> Tensor:
    """Return the output for every row, computed in chunks of the same shape as the pairs."""
    answer = torch.empty(block.rows)
    for start in range(0, block.rows, chunk):
        rows = torch.arange(start, min(start + chunk, block.rows))
        part = DensePart(trunk, block, Pairs((), (0,), rows, torch.full_like(rows, -1)), scratch)
        answer[rows] = _again(trunk, part, len(rows), chunk)
    return answer


def _again(trunk: Trunk, part: DensePart, count: int, chunk: int) -> Tensor:
    """Return the output for every pair, computed on ablated values in one fixed shape."""
    constants = trunk.graph.constants
    again = {step.index for step in trunk.again}
    environment: dict[int, Value] = {}
    for index in {i for step in trunk.again for i in step.inputs} - again:
        is_constant = index in constants
        environment[index] = (
            constants[index] if is_constant else _padded(part.ablated(index), chunk)
        )
    for step in trunk.again:
        environment[step.index] = step.run(environment, chunk)
    output: Tensor = environment[trunk.graph.output]
    return output[:count]


def _padded(value: Tensor, chunk: int) -> Tensor:
    missing = chunk - len(value)
    if missing == 0:
        return value
    return torch.cat([value, value[-1:].expand(missing, *value.shape[1:])])


def tower_layout(trunk: Trunk, index: int) -> Layout:
    """Return which elements of a tower step each feature owns."""

    def made() -> Layout:
        return _layout(sure(trunk.dependencies.owners(index, trunk.among)).reshape(-1))

    layout: Layout = trunk.memory.recall(("tower", index), made)
    return layout


def _layout(owners: np.ndarray) -> Layout:
    columns: dict[int, Columns] = {}
    order = np.argsort(owners, kind="stable")
    ranked = owners[order]
    cuts = np.flatnonzero(np.diff(ranked)) + 1
    for positions in np.split(order, cuts):
        if len(positions) and owners[positions[0]] >= 0:
            columns[int(owners[positions[0]])] = columns_of(tensor_of(positions))
    return Layout(columns)
