"""Runs a trunk for the pairs of a block: structured, then dense in chunks, then again."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from services.attribution.engine.block import Block
from services.attribution.engine.certainty import sure
from services.attribution.engine.dense import DensePart
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.rerun import Rerun
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.structure import Delta
from services.attribution.engine.structured import StructuredPart
from services.attribution.engine.trunk import Trunk
from services.attribution.engine.written import Chunk, Written, fixed_chunks, row_chunks


@dataclass(frozen=True)
class Job:
    """Pairs of a block, and the trunk that they run through, so many at a time."""

    trunk: Trunk
    block: Block
    pairs: Pairs
    chunk: int
    scratch: Scratch

    def run(self) -> Tensor:
        """Return the change of the output for every pair, `[pairs]`."""
        if not self.trunk.joint:
            return self._of_tower()
        structured = StructuredPart(self.trunk, self.block, self.pairs, self.scratch)
        structured.run()
        deltas = {i: sure(structured.delta(i)) for i in self.trunk.written()}
        output = self.trunk.graph.output
        if output in deltas:
            return deltas[output].dense().reshape(-1)
        return self._rerun(deltas) if self.trunk.again else self._by_row(deltas)

    def _of_tower(self) -> Tensor:
        """A class of one feature meets no other: the output itself is its tower."""
        change = self.block.delta(self.trunk, self.trunk.graph.output)
        return change.index_select(0, self.pairs.rows).reshape(-1)

    def _by_row(self, deltas: Mapping[int, Delta]) -> Tensor:
        """Pass the deltas on, whole rows at a time."""
        order, starts = self.pairs.by_row(self.block.rows)
        ordered = self.pairs.pick(order)
        written = self._written(deltas, ordered, order)
        kept = {i: self._empty(i) for i in self.trunk.handed_over()}
        early, late = self.trunk.dense[: self.trunk.late], self.trunk.dense[self.trunk.late :]
        for chunk in row_chunks(starts, self.chunk):
            part = self._part(ordered.pick(chunk.places), chunk, written)
            part.run(early)
            for index, delta in kept.items():
                delta[chunk.places] = part.known[index]
        whole = self._part(ordered, Chunk(0, ordered.count), written)
        whole.known.update(kept)
        whole.run(late)
        answer = torch.empty(ordered.count)
        answer[order] = whole.known[self.trunk.graph.output].reshape(-1)
        return answer

    def _empty(self, index: int) -> Tensor:
        return torch.empty(self.pairs.count, *sure(self.trunk.graph.shape_of(index)))

    def _rerun(self, deltas: Mapping[int, Delta]) -> Tensor:
        """Pass the deltas on, then run the last steps again."""
        order = torch.arange(self.pairs.count)
        written = self._written(deltas, self.pairs, order)
        rerun = Rerun(self.trunk, self.block, self.chunk, self.scratch)
        answer = torch.empty(self.pairs.count)
        for chunk in fixed_chunks(self.pairs.count, self.chunk):
            pairs = self.pairs.take(order[chunk.places])
            part = self._part(pairs, chunk, written)
            part.run(self.trunk.dense)
            answer[chunk.places] = rerun(part, pairs.rows)
        return answer

    def _written(
        self, deltas: Mapping[int, Delta], pairs: Pairs, order: Tensor
    ) -> dict[int, Written]:
        return {i: Written(i, d, pairs, order, self.scratch) for i, d in deltas.items()}

    def _part(self, pairs: Pairs, chunk: Chunk, written: Mapping[int, Written]) -> DensePart:
        return DensePart(self.trunk, self.block, pairs, self.scratch, chunk=chunk, written=written)
