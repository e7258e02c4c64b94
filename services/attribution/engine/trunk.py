"""The part of a program where features have met, for one class of features.

Features of a class reach the same joint steps. A joint step with a rule passes deltas, one row per
pair; from the first step without a rule onwards, the trunk runs again on ablated values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine.deltas import RULES, Call, NoRule, Operand
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import Graph, Ref, Step, Value, resolved
from services.attribution.engine.joins import LinearJoin, linear_join
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.towers import Towers


@dataclass(frozen=True)
class Block:
    """The values of all steps for some rows."""

    values: Mapping[int, Value]
    rows: int


@dataclass
class Trunk:
    """How the features of a class reach the logit."""

    features: tuple[int, ...]
    among: int
    """The features, as bits."""
    graph: Graph
    dependencies: Dependencies
    towers: Towers
    by_delta: list[Step] = field(default_factory=list)
    joins: dict[int, LinearJoin] = field(default_factory=dict)
    again: list[Step] = field(default_factory=list)
    """Steps that run on ablated values."""
    reasons: dict[int, str] = field(default_factory=dict)
    """Why a step has no rule, for the first ones."""

    def __post_init__(self) -> None:
        steps = [s for s in self.graph.steps if self.towers.reaches(s.index)]
        self.joint = [s for s in steps if not self.dependencies.is_tower(s.index, self.among)]
        without: set[int] = set()
        for step in self.joint:
            reason = self._reason(step, without)
            if reason is not None:
                without.add(step.index)
                if not any(i in without for i in step.inputs):
                    self.reasons[step.index] = reason
                continue
            self.by_delta.append(step)
            join = linear_join(step, self.graph, self.dependencies, self.among)
            if join is not None:
                self.joins[step.index] = join
        self.again = self._closure(without)

    def exclude(self, index: int, reason: str) -> None:
        """Run a step, and all that follows, on ablated values."""
        without = {index, *(s.index for s in self.again)}
        self.reasons[index] = reason
        for step in self.by_delta:
            if any(i in without for i in step.inputs):
                without.add(step.index)
        self.by_delta = [s for s in self.by_delta if s.index not in without]
        self.joins = {i: j for i, j in self.joins.items() if i not in without}
        self.again = self._closure(without)

    def _reason(self, step: Step, without: set[int]) -> str | None:
        if any(i in without for i in step.inputs):
            return "follows a step without a rule"
        if step.operator not in RULES:
            return "no rule for this operator"
        if step.shape is None and not step.is_parts:
            return "the batch is not its leading axis"
        if not step.is_parts and step.dtype not in (torch.float32, torch.float64):
            return f"answers {step.dtype}"
        for index in step.inputs:
            if self.towers.reaches(index) and not self._has_delta(index):
                return "an input has no delta"
        return None

    def _has_delta(self, index: int) -> bool:
        step = next((s for s in self.graph.steps if s.index == index), None)
        if step is None:
            return True
        return step.is_parts or (
            step.shape is not None and step.dtype in (torch.float32, torch.float64)
        )

    def _closure(self, without: set[int]) -> list[Step]:
        """Return the steps to run again: those, and what they need that has no rows to take."""
        wanted = set(without)
        for step in reversed(self.graph.steps):
            if step.index in wanted:
                wanted.update(i for i in step.inputs if self._has_no_rows(i))
        return [s for s in self.graph.steps if s.index in wanted]

    def _has_no_rows(self, index: int) -> bool:
        step = next((s for s in self.graph.steps if s.index == index), None)
        return step is not None and step.shape is None

    # -- running -------------------------------------------------------------------------------

    def run(self, block: Block, pairs: Pairs, chunk: int) -> Tensor:
        """Return the change of the output for every pair, `[pairs]`."""
        joined = {i: self._joined(join, block, pairs) for i, join in self.joins.items()}
        towers = _TowerDeltas(self, block)
        answer = torch.empty(pairs.count)
        reference = self._reference(block, chunk) if self.again else None
        for start in range(0, pairs.count, chunk):
            positions = torch.arange(start, min(start + chunk, pairs.count))
            part = pairs.take(positions)
            deltas = _Deltas(self, block, towers, part)
            deltas.known.update({i: t[positions] for i, t in joined.items()})
            answer[positions] = deltas.output(reference, chunk)
        return answer

    def _joined(self, join: LinearJoin, block: Block, pairs: Pairs) -> Tensor:
        delta = self.towers.delta(join.source, block.values, block.rows)
        return join.run(delta, pairs)

    def _reference(self, block: Block, chunk: int) -> Tensor:
        """Return the output for every row, computed in chunks of the same shape as the pairs."""
        answer = torch.empty(block.rows)
        for start in range(0, block.rows, chunk):
            rows = torch.arange(start, min(start + chunk, block.rows))
            pairs = Pairs((), (0,), rows, torch.full_like(rows, -1))
            answer[rows] = _Deltas(self, block, _TowerDeltas(self, block), pairs).again(chunk)
        return answer


class _TowerDeltas:
    """The deltas of tower steps of one block, computed when first wanted."""

    def __init__(self, trunk: Trunk, block: Block) -> None:
        self._trunk = trunk
        self._block = block
        self._deltas: dict[int, Tensor] = {}
        self._owners: dict[int, Tensor] = {}

    def delta(self, index: int) -> Tensor:
        if index not in self._deltas:
            block = self._block
            self._deltas[index] = self._trunk.towers.delta(index, block.values, block.rows)
        return self._deltas[index]

    def owners(self, index: int) -> Tensor:
        if index not in self._owners:
            owners = self._trunk.dependencies.owners(index, self._trunk.among)
            assert owners is not None
            self._owners[index] = torch.from_numpy(owners)
        return self._owners[index]


class _Deltas:
    """The deltas of joint steps for some pairs."""

    def __init__(self, trunk: Trunk, block: Block, towers: _TowerDeltas, pairs: Pairs) -> None:
        self._trunk = trunk
        self._block = block
        self._towers = towers
        self._pairs = pairs
        self.known: dict[int, Value] = {}

    def output(self, reference: Tensor | None, chunk: int) -> Tensor:
        """Return the change of the output for every pair."""
        for step in self._trunk.by_delta:
            if step.index not in self.known:
                call = Call(step, self._operands(step), self._pairs.count)
                self.known[step.index] = RULES[step.operator](call)
        if reference is None:
            answer: Tensor = self.known[self._trunk.graph.output]
            return answer
        return self.again(chunk) - reference[self._pairs.rows]

    def again(self, chunk: int) -> Tensor:
        """Return the output for every pair, computed on ablated values in one fixed shape."""
        trunk = self._trunk
        again = {step.index for step in trunk.again}
        wanted = {i for step in trunk.again for i in step.inputs} - again
        environment: dict[int, Value] = {
            i: trunk.graph.constants[i] if i in trunk.graph.constants else self._padded(i, chunk)
            for i in wanted
        }
        for step in trunk.again:
            environment[step.index] = step.run(environment, chunk)
        output: Tensor = environment[trunk.graph.output]
        return output[: self._pairs.count]

    def _padded(self, index: int, chunk: int) -> Tensor:
        value = self._ablated(index)
        missing = chunk - len(value)
        if missing == 0:
            return value
        return torch.cat([value, value[-1:].expand(missing, *value.shape[1:])])

    def _ablated(self, index: int) -> Tensor:
        base: Tensor = self._block.values[index]
        value = base.index_select(0, self._pairs.rows)
        if index in self.known:
            return value.add_(self.known[index])
        if not self._pairs.features or not self._trunk.towers.reaches(index):
            return value
        owners = self._towers.owners(index).reshape(-1)
        ablated = self._trunk.towers.ablated(index, self._block.values, self._block.rows)
        flat, changed = value.reshape(len(value), -1), ablated.reshape(len(base), -1)
        for feature, start, end in self._pairs.spans():
            columns = torch.nonzero(owners == feature).reshape(-1)
            flat[start:end, columns] = changed[self._pairs.rows[start:end]][:, columns]
        return flat.reshape(value.shape)

    def _operands(self, step: Step) -> list[Any]:
        return [self._operand(a) for a in step.arguments]

    def _operand(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._operand(a) for a in argument]
        if not isinstance(argument, Ref):
            return argument
        index = argument.index
        if index in self._trunk.graph.constants:
            return self._trunk.graph.constants[index]
        value = self._block.values[index]
        if isinstance(value, int):
            return self._pairs.count if value == self._block.rows else value
        return Operand(lambda: value[self._pairs.rows], self._delta(index))

    def _delta(self, index: int) -> Value:
        if index in self.known:
            return self.known[index]
        if not self._trunk.towers.reaches(index):
            return None
        delta, owners = self._towers.delta(index), self._towers.owners(index)
        shape = [-1] + [1] * owners.dim()
        mine = owners.unsqueeze(0) == self._pairs.owners.reshape(shape)
        return torch.where(mine, delta[self._pairs.rows], 0.0)
