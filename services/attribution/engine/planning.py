"""Finds the way for every joint step by trying its rules on a few examples."""

from collections.abc import Iterable

import torch
from torch import Tensor

from services.attribution.engine.block import Block
from services.attribution.engine.deltas import RULES, NoRule
from services.attribution.engine.footprint import Footprint
from services.attribution.engine.graph import Step
from services.attribution.engine.joins import JOINS
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.structure import Delta, NoStructure
from services.attribution.engine.structured import StructuredPart
from services.attribution.engine.trunk import Trunk, joint_steps

_IN_BETWEEN = 2
"""What a step makes on its way to its answer takes as much again as what is kept, at most."""

_FLOATS = (torch.float32, torch.float64)


def plan(trunk: Trunk, block: Block, pairs: Pairs, distrust: str | None = None) -> None:
    """Fill in a trunk's steps; the block and its pairs are a sample to try rules on.

    `distrust`, if given, says why no rule may be used.
    """
    trunk.joint = joint_steps(trunk.graph, trunk.dependencies, trunk.towers)
    if distrust is not None:
        trunk.rerun({s.index: distrust for s in trunk.joint})
        return
    trial = _Trial(trunk, block, pairs)
    for step in trunk.joint:
        trial.attempt(step)
    kept = [s for s in trunk.joint if s.index not in trial.without]
    early = {s.index for s in kept if s.index in trial.structural}
    for step in reversed(kept):
        if step.index in early:
            early.update(i for i in step.inputs if i in trial.known)
    trunk.structured = [s for s in kept if s.index in early]
    trunk.structural = trial.structural
    trunk.dense = [s for s in kept if s.index not in early]
    if trial.without:
        trunk.rerun(trial.reasons)
    trunk.fuse()
    kept_deltas = [trial.known[s.index] for s in trunk.structured]
    trunk.footprint = _measured(block, kept_deltas, pairs.count)


class _Trial:
    def __init__(self, trunk: Trunk, block: Block, pairs: Pairs) -> None:
        self.trunk = trunk
        self.part = StructuredPart(trunk, block, pairs, Scratch())
        self.known = self.part.known
        self.structural: set[int] = set()
        self.without: set[int] = set()
        self.reasons: dict[int, str] = {}

    def attempt(self, step: Step) -> None:
        """Find the way of a step whose inputs have theirs."""
        if any(i in self.without for i in step.inputs):
            self.without.add(step.index)
            return
        try:
            self._structured(step)
        except NoStructure:
            self._dense(step)

    def _structured(self, step: Step) -> None:
        if step.operator not in JOINS or step.dtype not in _FLOATS:
            raise NoStructure
        delta = self.part.by_rule(step)
        inputs = [self.part.delta(i) for i in step.inputs]
        if all(d is None or d.plain is not None for d in (delta, *inputs)):
            raise NoStructure
        self.structural.add(step.index)
        self.known[step.index] = delta

    def _dense(self, step: Step) -> None:
        reason = self._obstacle(step)
        if reason is None:
            try:
                self.known[step.index] = self.part.written_out(step)
            except (NoRule, NoStructure, RuntimeError, TypeError, IndexError) as error:
                reason = str(error)
        if reason is not None:
            self.without.add(step.index)
            self.reasons[step.index] = reason

    def _obstacle(self, step: Step) -> str | None:
        if step.operator not in RULES:
            return "no rule for this operator"
        if step.is_parts:
            return None
        if step.shape is None:
            return "the batch is not its leading axis"
        if step.dtype not in _FLOATS:
            return f"it answers {step.dtype}"
        return None


def _measured(block: Block, deltas: Iterable[object], pairs: int) -> Footprint:
    """Return what a sample's values and the deltas that structured steps keep take."""
    values = {id(v): v for v in block.values.values() if isinstance(v, Tensor)}
    whole = [v for v in values.values() if v.dim() and len(v) == block.rows]
    by_row: dict[int, Tensor] = {}
    by_pair: dict[int, Tensor] = {}
    for delta in deltas:
        if not isinstance(delta, Delta):
            continue
        own = () if delta.own is None else delta.own.values
        for tensor in (*own, *(t.amounts for t in delta.terms)):
            by_pair[id(tensor)] = tensor
        for factor in (t.factor for t in delta.terms):
            if factor is not None and len(factor) > 1:
                by_row[id(factor)] = factor
    return Footprint(
        of_row=(_bytes(whole) + _IN_BETWEEN * _bytes(by_row.values())) / block.rows,
        of_pair=_IN_BETWEEN * _bytes(by_pair.values()) / max(1, pairs),
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
