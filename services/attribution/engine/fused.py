"""`ReLU -> Linear` on written-out deltas, where most of a trunk's time goes.

A unit that is off for a row, and stays off whichever of the row's features is ablated, adds nothing
to any delta of that row. With all pairs of a row in one chunk such units are found by the largest
delta of each column, and left out of the product.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.attribution.engine.scratch import Scratch

_WORTHWHILE = 0.85
"""Units are left out if no more than this share remains."""

_NARROW = 32
"""Below this width the product is too cheap to prepare for."""


@dataclass(frozen=True)
class Relu:
    """What the change of `relu(x)`, `max(dx + min(x, 0), -max(x, 0))`, needs of x, `[rows, units]`.

    A row for each pair, or one if all pairs are of one row.
    """

    below: Tensor
    """`min(x, 0)`"""
    floor: Tensor
    """`-max(x, 0)`"""
    gate: Tensor
    """What `dx + min(x, 0)` has to exceed for the unit to change: 0 if it is off."""

    @staticmethod
    def of(value: Tensor) -> "Relu":
        """Return it for all rows of a block."""
        gate = torch.where(value > 0, -torch.inf, 0.0)
        return Relu(value.clamp(max=0), -value.clamp(min=0), gate)

    def at(self, rows: Tensor | slice) -> "Relu":
        """Return it for some rows."""
        return Relu(self.below[rows], self.floor[rows], self.gate[rows])


def relu_linear(name: int, shifted: Tensor, relu: Relu, matrix: Tensor, scratch: Scratch) -> Tensor:
    """Return the change of `relu(x) @ matrix`, overwriting `dx + min(x, 0)`, `[pairs, units]`.

    `name` is the linear step's index.
    """
    floor = relu.floor
    if len(floor) == 1 and matrix.shape[1] >= _NARROW:
        shifted, floor, matrix = _without_dead_units(shifted, relu, matrix, scratch)
    delta = torch.maximum(shifted, floor, out=shifted)
    answer = scratch.matrix(("relu_linear", name), len(delta), matrix.shape[1])
    return torch.mm(delta, matrix, out=answer)


def _without_dead_units(
    shifted: Tensor, relu: Relu, matrix: Tensor, scratch: Scratch
) -> tuple[Tensor, Tensor, Tensor]:
    alive = torch.nonzero(shifted.amax(0) > relu.gate[0]).squeeze(1)
    if len(alive) > _WORTHWHILE * len(matrix):
        return shifted, relu.floor, matrix
    kept = scratch.matrix("alive", len(shifted), len(alive))
    torch.index_select(shifted, 1, alive, out=kept)
    rows = scratch.matrix("weights", len(alive), matrix.shape[1])
    torch.index_select(matrix, 0, alive, out=rows)
    return kept, relu.floor.index_select(1, alive), rows
