"""The importances of one batch, checked once and trusted from then on."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.errors import MalformedBlock, NotFinite
from services.aggregator.domain.sketch import Sketch, check_sketch


class Population(Enum):
    """Which set of examples a batch was drawn from."""

    CONSIDERED = "considered"
    DISPLAYED = "displayed"


class Method(Enum):
    """Which equation gave the importances; those of different equations are not comparable."""

    PSEUDO_LOSS = "PSEUDO_LOSS"
    RELATIVE = "RELATIVE"


@dataclass(frozen=True, eq=False)
class Pane:
    """What a window keeps of blocks: how many examples, and each feature's non-zero LFIs.

    `offsets` uint32 [M + 1]: feature j owns `values[offsets[j]:offsets[j + 1]]`, float32.
    """

    population: Population
    example_count: int
    offsets: NDArray[np.uint32]
    values: NDArray[np.float32]
    sketch: Sketch | None = None
    """Of the examples' values; None: it is not known."""
    counts: NDArray[np.uint32] | None = None
    """How many entries each value stands for, [entries]; None: one. See fold.py."""

    @property
    def feature_count(self) -> int:
        """Number of features, M."""
        return len(self.offsets) - 1


@dataclass(frozen=True, eq=False)
class Block:
    """The non-zero LFIs of one batch of N examples and M features, sparse by column.

    `offsets` uint32 [M + 1]; `indices` uint32 and `values` float32 [entries]: the example of each
    entry, rising within a feature, and its LFI, never zero; `predictions` float32 [N],
    probabilities.

    Raises:
        MalformedBlock: an array does not fit the others.
        NotFinite: an importance, a prediction or a moment is NaN or infinite.
    """

    block_id: str
    model: str
    digest: str
    method: Method
    population: Population
    event_time: datetime
    example_count: int
    offsets: NDArray[np.uint32]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
    predictions: NDArray[np.float32]
    arrow_stream: bytes = b""
    """The batch's examples as they came; empty: none are kept."""
    sketch: Sketch | None = None
    """Of the examples' values; None: it is not known."""

    def __post_init__(self) -> None:
        _check_offsets(self.offsets, len(self.values))
        _check_indices(self.indices, self.offsets, len(self.values), self.example_count)
        _check_values(self.values)
        _check_predictions(self.predictions, self.example_count)
        if self.sketch is not None:
            check_sketch(self.sketch, self.example_count, self.feature_count)

    @property
    def feature_count(self) -> int:
        """Number of features, M."""
        return len(self.offsets) - 1

    @property
    def pane(self) -> Pane:
        """What its window keeps of it."""
        return Pane(self.population, self.example_count, self.offsets, self.values, self.sketch)


def _check_offsets(offsets: NDArray[np.uint32], entries: int) -> None:
    # Compared as they are: a difference of unsigned numbers wraps around.
    rising = len(offsets) > 1 and bool(np.all(offsets[1:] >= offsets[:-1]))
    if not rising or offsets[0] != 0 or offsets[-1] != entries:
        raise MalformedBlock(
            f"offsets must start at 0, never fall and end at the number of values, {entries}",
            field="block.feature_offsets",
        )


def _check_indices(
    indices: NDArray[np.uint32], offsets: NDArray[np.uint32], entries: int, examples: int
) -> None:
    if len(indices) != entries:
        raise MalformedBlock(
            f"{len(indices)} indices for {entries} values: each value needs one",
            field="block.example_indices",
        )
    rises = np.ones(entries + 1, dtype=np.bool_)
    rises[1:-1] = indices[1:] > indices[:-1]
    rises[offsets] = True
    if not rises.all() or bool(np.any(indices >= examples)):
        raise MalformedBlock(
            f"indices must rise within a feature and stay below example_count, {examples}",
            field="block.example_indices",
        )


def _check_values(values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise NotFinite(
            "an importance is NaN or infinite: leave the batch out", field="block.values"
        )
    if not values.all():
        raise MalformedBlock(
            "an importance is zero: send the non-zero ones only", field="block.values"
        )


def _check_predictions(predictions: NDArray[np.float32], examples: int) -> None:
    if len(predictions) != examples:
        raise MalformedBlock(
            f"{len(predictions)} predictions for {examples} examples", field="block.predictions"
        )
    if not np.isfinite(predictions).all():
        raise NotFinite("a prediction is NaN or infinite", field="block.predictions")
    if bool(np.any((predictions < 0) | (predictions > 1))):
        raise MalformedBlock("a prediction is not a probability", field="block.predictions")
