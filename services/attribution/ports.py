"""What attribution needs from outside."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.ablation import Ablations
from services.attribution.domain.block import LfiBlock, Receipt
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.compilation import Explanation
from services.attribution.domain.example import Examples
from services.attribution.domain.layer import Layer


class Predictor(Protocol):
    """Scores examples with one checkpoint. Pure: a batch gets the same answer every time."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint that scores."""

    def logits(self, examples: Examples) -> NDArray[np.floating]:
        """Return the logit of each example, [N], float32 or float64, as the model answers it.

        Of a checkpoint with classes, those of each class, [N, C]. What an example gets does not
        depend on the other examples but for rounding.
        """


class Ablator(Protocol):
    """Ablates each feature of each example, one at a time. Pure."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint whose features are ablated."""

    @property
    def explanation(self) -> Explanation:
        """Return how they are ablated, and what that costs."""

    def ablate(self, examples: Examples, features: NDArray[np.bool_] | None = None) -> Ablations:
        """Return the logits and by how much each ablation changes them.

        Only the given `features`, bool [M], are ablated; the others own no entries. None: all are.
        Which pairs have an entry depends neither on the size or the order of the batch nor on what
        else is ablated.

        Raises:
            NotFinite: the prediction for an example, ablated or not, is NaN or infinite.
        """


class Gradients(Protocol):
    """Follows a prediction back to a layer. Pure."""

    def saliency(
        self,
        examples: Examples,
        layer: Layer,
        size: tuple[int, int] | None,
        target: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the Grad-CAM map of each example, [N, height, width], at least 0.

        Args:
            examples: N.
            layer: where to look.
            size: height and width to which the layer's maps are interpolated; None: their own.
            target: position of the class whose logit is followed back; None: there is one logit.

        Raises:
            UnknownLayer: the program has no such layer.
            NoSaliency: no gradient comes back to it.
        """


@dataclass(frozen=True)
class Scorer:
    """A checkpoint in memory, ready to score and to ablate."""

    predictor: Predictor
    ablator: Ablator
    size_bytes: int = 0
    """Memory that it takes, estimated."""
    gradients: Gradients | None = None
    """None: the program's format has none."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint that both work with."""
        return self.predictor.checkpoint


class CheckpointSource(Protocol):
    """Where checkpoints are read from."""

    def read(self, folder: Path) -> Scorer:
        """Read a checkpoint, running no code that it brings along. Idempotent.

        Raises:
            CheckpointRefused: it lies outside the allowed roots, or is malformed, corrupt or
                unsafe.
        """


class CheckpointRepository(Protocol):
    """The checkpoints in memory, by resource name. Safe to call from several threads."""

    def add(self, scorer: Scorer) -> Scorer:
        """Keep a checkpoint and return it, or the one that is there already. Idempotent by digest.

        Raises:
            CheckpointRefused: a checkpoint of that name and another digest is there, or it is
                larger than all of the memory for checkpoints.
            NoRoom: there is no memory left, and no checkpoint that nobody uses.
        """

    def get(self, name: str) -> Scorer:
        """Return a checkpoint by `models/{model}/checkpoints/{version}`.

        `models/{model}` stands for the model's checkpoint with the latest `trained_until`, the one
        that was added last among equals.

        Raises:
            CheckpointNotFound: there is none.
        """

    def using(self, name: str) -> AbstractContextManager[Scorer]:
        """Return a checkpoint like `get`, which is kept in memory until the context ends.

        Raises:
            CheckpointNotFound: there is none.
        """

    def names(self) -> Sequence[str]:
        """Return the names of all checkpoints, sorted."""

    def remove(self, name: str) -> None:
        """Forget a checkpoint; who uses it goes on. Not idempotent: the second time there is none.

        Raises:
            CheckpointNotFound: there is none.
        """


class LfiSink(Protocol):
    """Takes blocks into windows."""

    async def deliver(self, block: LfiBlock) -> Receipt:
        """Return once the block is kept. Idempotent by the batch's id.

        Raises:
            DeliveryRefused: the windows do not take this block, and will not later.
            DeliveryUnavailable: they cannot be reached now.
        """
