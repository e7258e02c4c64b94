"""Scores examples in blocks of one size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.ablation import check_finite
from services.attribution.domain.example import Examples
from services.attribution.ports import Predictor


@dataclass(frozen=True)
class Predict:
    """Scores examples; every run of the model has exactly `block_examples` rows.

    The order in which a matrix product adds up depends on its shape: padding the last block makes
    an example's logit independent of how many others came with it.
    """

    predictor: Predictor
    block_examples: int

    def __call__(self, examples: Examples) -> NDArray[np.float64]:
        """Return the logits, [N], or [N, C] of a checkpoint with classes.

        Raises:
            NotFinite: one of them is NaN or infinite.
        """
        starts = range(0, examples.count, self.block_examples)
        logits = np.concatenate([self._block(examples, start) for start in starts])
        check_finite(logits, "as it is")
        return logits

    def _block(self, examples: Examples, start: int) -> NDArray[np.float64]:
        rows = np.arange(start, min(start + self.block_examples, examples.count))
        block = examples.take(rows).padded(self.block_examples)
        return self.predictor.logits(block)[: len(rows)].astype(np.float64)
