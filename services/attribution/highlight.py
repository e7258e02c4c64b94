"""Says where in its images a checkpoint looks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.classes import class_index
from services.attribution.domain.errors import NoSaliency
from services.attribution.domain.example import Examples
from services.attribution.domain.layer import Layer
from services.attribution.ports import Scorer

_BLOCK_EXAMPLES = 64
"""Activations and gradients of so many are held at a time."""


@dataclass(frozen=True)
class Highlight:
    """Computes Grad-CAM maps, a block of examples at a time."""

    scorer: Scorer

    def __call__(
        self,
        examples: Examples,
        layer: Layer,
        size: tuple[int, int] | None,
        target_class: str = "",
    ) -> NDArray[np.float32]:
        """Return the map of each example, [N, height, width], at least 0.

        `target_class` is the class that it speaks for, empty where the checkpoint has none.

        Raises:
            UnknownLayer: the program has no such layer.
            UnknownClass: the checkpoint tells no such class apart, or several and none is named.
            NoSaliency: the program has no gradients, or none that comes back to the layer.
        """
        gradients = self.scorer.gradients
        if gradients is None:
            raise NoSaliency(
                f"{self.scorer.checkpoint.name} has no gradients: Grad-CAM takes a torch.export "
                "program",
                field="checkpoint",
            )
        target = class_index(self.scorer.checkpoint, target_class)
        starts = range(0, examples.count, _BLOCK_EXAMPLES)
        blocks = [examples.part(start, start + _BLOCK_EXAMPLES) for start in starts]
        return np.concatenate([gradients.saliency(block, layer, size, target) for block in blocks])
