"""The deltas of joint steps in structured form, for all pairs of a block at once."""

from typing import Any

from torch import Tensor

from services.attribution.engine.block import Block
from services.attribution.engine.certainty import sure
from services.attribution.engine.dense import DensePart
from services.attribution.engine.graph import Step
from services.attribution.engine.joins import JOINS, Site
from services.attribution.engine.ownership import Own
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.structure import Delta, plain
from services.attribution.engine.trunk import Trunk


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
        layout = trunk.layout(index)
        values = [s.owned(delta, pairs) for s in layout.stretches(pairs.features)]
        return Delta(pairs, delta.shape[1], (), Own(layout, values))
