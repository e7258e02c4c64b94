"""Sets of features, interned: a *label* is the number of a set."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NONE = 0
"""The label of elements that no feature reaches."""


class FeatureSets:
    """Sets of features as bits of integers, interned: a label is a position."""

    def __init__(self) -> None:
        self.bits: list[int] = [0]
        self._position = {0: NONE}
        self._unions: dict[tuple[int, int], int] = {}
        self._members: NDArray[np.bool_] | None = None

    def label(self, bits: int) -> int:
        """Return the label of a set."""
        if bits not in self._position:
            self._position[bits] = len(self.bits)
            self.bits.append(bits)
        return self._position[bits]

    def union(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the labels of elementwise unions, after broadcasting."""
        shape = np.broadcast_shapes(first.shape, second.shape)
        a, b = first.expand(shape), second.expand(shape)
        if bool((b == NONE).all()):
            return a.clone()
        pairs, inverse = np.unique(
            np.stack([a.reshape(-1).numpy(), b.reshape(-1).numpy()]), axis=1, return_inverse=True
        )
        joined = np.array([self._union(int(x), int(y)) for x, y in pairs.T], dtype=np.int64)
        return torch.from_numpy(joined[inverse.reshape(-1)].reshape(tuple(a.shape)))

    def over(self, labels: Tensor, dims: Sequence[int], *, keep: bool) -> Tensor:
        """Return the labels of unions over dimensions."""
        kept = [d for d in range(labels.dim()) if d not in dims]
        rows = labels.permute([*kept, *dims]).reshape([labels.shape[d] for d in kept] + [-1])
        flat = rows.reshape(-1, rows.shape[-1]).numpy()
        joined = np.array([self.of(row) for row in flat], dtype=np.int64)
        shape = [1 if d in dims else labels.shape[d] for d in range(labels.dim())]
        answer = torch.from_numpy(joined)
        return answer.reshape(shape if keep else [labels.shape[d] for d in kept])

    def of(self, labels: NDArray[np.int64]) -> int:
        """Return the label of the union of all labels."""
        bits = 0
        for label in np.unique(labels):
            bits |= self.bits[int(label)]
        return self.label(bits)

    def members(self, count: int) -> NDArray[np.bool_]:
        """Return which of the first `count` features are in each set, bool [count, sets]."""
        if self._members is None or self._members.shape[1] != len(self.bits):
            width = (max(self.bits).bit_length() + 8) // 8
            packed = b"".join(bits.to_bytes(width, "little") for bits in self.bits)
            rows = np.frombuffer(packed, dtype=np.uint8).reshape(len(self.bits), width)
            unpacked = np.unpackbits(rows, axis=1, bitorder="little")
            self._members = np.ascontiguousarray(unpacked.T.astype(np.bool_))
        missing = count - len(self._members)
        if missing > 0:
            return np.pad(self._members, ((0, missing), (0, 0)))
        return self._members[:count]

    def _union(self, first: int, second: int) -> int:
        if (first, second) not in self._unions:
            self._unions[first, second] = self.label(self.bits[first] | self.bits[second])
        return self._unions[first, second]
