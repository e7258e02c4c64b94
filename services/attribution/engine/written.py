"""Structured deltas, written out for some pairs at a time.

What is left of most deltas is a matrix for all pairs and one amount per pair times a row's own
vector. Those products are added when the pairs of a row are wanted, while they are in the cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.structure import Delta


@dataclass(frozen=True)
class Chunk:
    """Some pairs, by their places in an order."""

    start: int
    end: int
    row: int | None = None
    """The one that all of them are of; None: they may be of several."""

    @property
    def places(self) -> slice:
        """Return where they are."""
        return slice(self.start, self.end)


class Written:
    """The delta of a step, written out chunk by chunk."""

    def __init__(self, index: int, delta: Delta, pairs: Pairs, order: Tensor, scratch: Scratch):
        """Take the pairs in the given order, and what they are in that order."""
        ready = delta.ready()
        terms = ready.terms[1:]
        self._name = ("written", index)
        self._base = sure(ready.base)
        self._order = order
        self._rows = pairs.rows
        self._scratch = scratch
        self._factors = [sure(term.factor) for term in terms]
        amounts = [term.amounts.index_select(0, order) for term in terms]
        self._amounts = torch.cat([*amounts, torch.ones(pairs.count, 1)], dim=1)

    def out(self, chunk: Chunk, shift: Tensor | None = None) -> Tensor:
        """Return the delta of a chunk's pairs plus a shift, `[pairs, width]`.

        `shift` is `[1, width]` for pairs of one row, else `[pairs, width]`. The answer lasts until
        the next one is asked for.
        """
        some = chunk.places
        picked = self._scratch.matrix(self._name, chunk.end - chunk.start, self._base.shape[1])
        torch.index_select(self._base, 0, self._order[some], out=picked)
        if chunk.row is None:
            return self._of_rows(some, picked, shift)
        factors = [f[chunk.row : chunk.row + 1] if len(f) > 1 else f for f in self._factors]
        if shift is not None:
            factors.append(shift)
        if factors:
            picked.addmm_(self._amounts[some, : len(factors)], torch.cat(factors))
        return picked

    def _of_rows(self, some: slice, picked: Tensor, shift: Tensor | None) -> Tensor:
        rows, amounts = self._rows[some], self._amounts[some]
        for k, factor in enumerate(self._factors):
            picked.addcmul_(amounts[:, k : k + 1], factor[rows] if len(factor) > 1 else factor)
        return picked if shift is None else picked.add_(shift)


def row_chunks(starts: list[int], chunk: int) -> Iterator[Chunk]:
    """Yield whole rows' pairs, some `chunk` at a time, given where each row's begin."""
    first, rows = 0, len(starts) - 1
    for row in range(1, rows + 1):
        is_full = row == rows or starts[row + 1] - starts[first] > chunk
        if is_full and starts[row] > starts[first]:
            yield Chunk(starts[first], starts[row], first if row == first + 1 else None)
        if is_full:
            first = row


def fixed_chunks(count: int, chunk: int) -> Iterator[Chunk]:
    """Yield so many pairs at a time, whichever row they are of."""
    for start in range(0, count, chunk):
        yield Chunk(start, min(start + chunk, count))
