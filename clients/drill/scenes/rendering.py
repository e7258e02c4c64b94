"""Paints scenes: each object a shape in a colour, in a place of its own, on a noisy ground."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CELL: Final = 9
GRID: Final = 3
SIZE: Final = CELL * GRID

_PALETTE = np.array(
    [[0.9, 0.2, 0.2], [0.2, 0.8, 0.2], [0.25, 0.35, 0.95], [0.9, 0.8, 0.1], [0.8, 0.2, 0.85]],
    dtype=np.float32,
)
_NOISE = 0.08


@dataclass(frozen=True, eq=False)
class Images:
    """Painted scenes."""

    pixels: NDArray[np.float32]
    """[N, 3, SIZE, SIZE] in [0, 1]."""
    corners: NDArray[np.int64]
    """[N, 2] row and column of the cell that holds the marked object; -1 where there is none."""


def paint(scenes: Sequence[Sequence[int]], seed: int, marked: int = -1) -> Images:
    """Paint scenes; of more than nine objects the last are left out.

    Args:
        scenes: N lists of object ids.
        seed: draws places, ground and noise.
        marked: the object whose place is told.
    """
    generator = np.random.default_rng(seed)
    pixels = generator.random((len(scenes), 3, 1, 1), dtype=np.float32) * 0.4
    pixels = pixels + _NOISE * generator.random((len(scenes), 3, SIZE, SIZE), dtype=np.float32)
    corners = np.full((len(scenes), 2), -1, np.int64)
    for i, scene in enumerate(scenes):
        cells = generator.permutation(GRID * GRID)
        for label, cell in zip(scene, cells, strict=False):
            top, left = CELL * (cell // GRID), CELL * (cell % GRID)
            patch = pixels[i, :, top : top + CELL, left : left + CELL]
            mask = _shape(label)
            patch[:] = np.where(mask, _colour(label)[:, None, None], patch)
            if label == marked:
                corners[i] = top, left
    return Images(pixels, corners)


def _colour(label: int) -> NDArray[np.float32]:
    colour: NDArray[np.float32] = _PALETTE[label // len(_SHAPES) % len(_PALETTE)]
    return colour


def _shape(label: int) -> NDArray[np.bool_]:
    return _SHAPES[label % len(_SHAPES)]


def _shapes() -> list[NDArray[np.bool_]]:
    y, x = np.mgrid[0:CELL, 0:CELL] - (CELL - 1) / 2
    radius = np.hypot(x, y)
    inside = np.maximum(abs(x), abs(y)) <= 3.5
    return [
        (radius <= 4) & (radius >= 2.2),
        radius <= 3.6,
        inside,
        (abs(x) + abs(y)) <= 4,
        ((abs(x) <= 1) | (abs(y) <= 1)) & inside,
        (y >= 2 * abs(x) - 4) & inside,
        inside & (np.round(y) % 2 == 0),
    ]


_SHAPES: Final = _shapes()
