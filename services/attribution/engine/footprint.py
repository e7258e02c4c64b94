"""How much memory the rows of a block take, and blocks that keep within a budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Footprint:
    """The bytes that a class of features takes, as measured on a sample."""

    of_row: float = 0.0
    of_pair: float = 0.0

    def needs(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the bytes for each row, given how many pairs it has."""
        return self.of_row + self.of_pair * pairs.astype(np.float64)


def dealt(needs: NDArray[np.float64], workers: int, rows: int, budget: int) -> Sequence[slice]:
    """Return the blocks of a batch, given the bytes that each of its rows needs.

    A block has at most so many rows and needs at most the budget, but one row at least; a batch of
    fewer than `workers * rows` is dealt out evenly.
    """
    most = min(rows, max(1, -(-len(needs) // workers)))
    blocks: list[slice] = []
    start, taken = 0, 0.0
    for row, need in enumerate(needs.tolist()):
        if row > start and (row - start == most or taken + need > budget):
            blocks.append(slice(start, row))
            start, taken = row, 0.0
        taken += need
    if start < len(needs):
        blocks.append(slice(start, len(needs)))
    return blocks
