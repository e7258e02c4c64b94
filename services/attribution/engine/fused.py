"""`ReLU -> Linear` on written-out deltas, where most of a trunk's time goes.

A unit that is off for a row, and stays off whichever of the row's features is ablated, adds nothing
to any delta of that row. With all pairs of a row in one chunk such units are found by the largest
delta of each column, and left out of the product.
"""

import torch
from torch import Tensor

from services.attribution.engine.scratch import Scratch

_WORTHWHILE = 0.85
"""Units are left out if no more than this share remains."""

_NARROW = 32
"""Below this width the product is too cheap to prepare for."""


def relu_linear(
    name: int, delta: Tensor, value: Tensor, matrix: Tensor, scratch: Scratch
) -> Tensor:
    """Return the change of `relu(x) @ matrix`, overwriting the change of x.

    `name` is the linear step's index. `value` is x: `[pairs, units]`, or `[1, units]` if all pairs
    are of one row.
    """
    if len(value) == 1 and matrix.shape[1] >= _NARROW:
        delta, value, matrix = _without_dead_units(delta, value, matrix, scratch)
    torch.add(delta, value.clamp(max=0), out=delta)
    torch.maximum(delta, -value.clamp(min=0), out=delta)
    answer = scratch.matrix(("relu_linear", name), len(delta), matrix.shape[1])
    return torch.mm(delta, matrix, out=answer)


def _without_dead_units(
    delta: Tensor, value: Tensor, matrix: Tensor, scratch: Scratch
) -> tuple[Tensor, Tensor, Tensor]:
    alive = torch.nonzero((value[0] > 0) | (value[0] + delta.amax(0) > 0)).reshape(-1)
    if len(alive) > _WORTHWHILE * len(matrix):
        return delta, value, matrix
    kept = scratch.matrix("alive", len(delta), len(alive))
    torch.index_select(delta, 1, alive, out=kept)
    rows = scratch.matrix("weights", len(alive), matrix.shape[1])
    torch.index_select(matrix, 0, alive, out=rows)
    return kept, value.index_select(1, alive), rows
