"""Buffers that a worker uses again and again, so that no block pays for fresh memory pages."""

from collections.abc import Hashable

import torch
from torch import Tensor


class Scratch:
    """Named float32 buffers that grow to the largest size asked for. Not for several threads."""

    def __init__(self) -> None:
        self._buffers: dict[Hashable, Tensor] = {}

    def matrix(self, name: Hashable, rows: int, width: int) -> Tensor:
        """Return `[rows, width]` with any content; it lasts until the name is asked for again."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < rows * width:
            buffer = torch.empty(rows * width)
            self._buffers[name] = buffer
        return buffer[: rows * width].view(rows, width)
