"""Where a checkpoint answers several logits: which of them an ablation is about is not known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.ablation import Ablations
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.compilation import Explanation
from services.attribution.domain.errors import SeveralClasses
from services.attribution.domain.example import Examples


@dataclass(frozen=True)
class NoAblation:
    """An Ablator that refuses."""

    checkpoint: Checkpoint

    @property
    def explanation(self) -> Explanation:
        """Refuse."""
        raise self._refusal()

    def ablate(
        self,
        examples: Examples,  # noqa: ARG002 - the port's signature
        features: NDArray[np.bool_] | None = None,  # noqa: ARG002
    ) -> Ablations:
        """Refuse."""
        raise self._refusal()

    def _refusal(self) -> SeveralClasses:
        return SeveralClasses(f"{self.checkpoint.name} has classes: its features are not ablated")
