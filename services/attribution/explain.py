"""Attributes predictions to features, example by example."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.errors import Abandoned
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod, SparseLfi, attribute, joined
from services.attribution.ports import Ablator


@dataclass(frozen=True)
class Explain:
    """Ablates, and applies an LFI equation to what that does."""

    ablator: Ablator
    method: LfiMethod
    block_examples: int = 256
    """How many are ablated before somebody looks whether the answer is still wanted."""

    def __call__(
        self,
        examples: Examples,
        is_wanted: Callable[[], bool] = lambda: True,
        features: NDArray[np.bool_] | None = None,
    ) -> SparseLfi:
        """Return the non-zero importances of the examples, for some features, bool [M], or for all.

        Raises:
            NotFinite: a prediction is NaN or infinite.
            Abandoned: the answer is not wanted any more.
        """
        starts = range(0, examples.count, self.block_examples)
        blocks = []
        for start in starts:
            if not is_wanted():
                raise Abandoned("nobody waits for the answer any more")
            blocks.append(self._block(examples.part(start, start + self.block_examples), features))
        return joined(blocks)

    def _block(self, examples: Examples, features: NDArray[np.bool_] | None) -> SparseLfi:
        ablations = self.ablator.ablate(examples, features)
        return attribute(ablations, self.method, self.ablator.checkpoint.threshold)
