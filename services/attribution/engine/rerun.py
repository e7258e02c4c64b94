"""Runs the last steps of a trunk again on ablated values: what no rule covers.

Rounding depends on how many rows are computed together, so all is computed in chunks of one shape,
the last one padded: the answer for an example is the same bits in any batch.
"""

import torch
from torch import Tensor

from services.attribution.engine.block import Block
from services.attribution.engine.dense import DensePart
from services.attribution.engine.graph import Value
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.trunk import Trunk
from services.attribution.engine.written import fixed_chunks


class Rerun:
    """The change of the output by running steps again, for the pairs of a block."""

    def __init__(self, trunk: Trunk, block: Block, chunk: int, scratch: Scratch) -> None:
        self._trunk = trunk
        self._chunk = chunk
        self._before = torch.empty(block.rows)
        for some in fixed_chunks(block.rows, chunk):
            rows = torch.arange(some.start, some.end)
            nobody = Pairs((), (0,), rows, torch.full_like(rows, -1))
            part = DensePart(trunk, block, nobody, scratch)
            self._before[rows] = self._output(part, len(rows))

    def __call__(self, part: DensePart, rows: Tensor) -> Tensor:
        """Return the change of the output for a chunk's pairs, given the row of each."""
        return self._output(part, len(rows)) - self._before[rows]

    def _output(self, part: DensePart, count: int) -> Tensor:
        constants = self._trunk.graph.constants
        again = {step.index for step in self._trunk.again}
        environment: dict[int, Value] = {}
        for index in {i for step in self._trunk.again for i in step.inputs} - again:
            is_constant = index in constants
            environment[index] = (
                constants[index] if is_constant else _padded(part.ablated(index), self._chunk)
            )
        for step in self._trunk.again:
            environment[step.index] = step.run(environment, self._chunk)
        output: Tensor = environment[self._trunk.graph.output]
        return output[:count]


def _padded(value: Tensor, chunk: int) -> Tensor:
    missing = chunk - len(value)
    if missing == 0:
        return value
    return torch.cat([value, value[-1:].expand(missing, *value.shape[1:])])
