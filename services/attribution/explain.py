"""Attributes predictions to features, example by example."""

from dataclasses import dataclass

from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod, SparseLfi, attribute
from services.attribution.ports import Ablator


@dataclass(frozen=True)
class Explain:
    """Ablates, and applies an LFI equation to what that does."""

    ablator: Ablator
    method: LfiMethod

    def __call__(self, examples: Examples) -> SparseLfi:
        """Return the non-zero importances of the examples.

        Raises:
            NotFinite: a prediction is NaN or infinite.
        """
        ablations = self.ablator.ablate(examples)
        return attribute(ablations, self.method, self.ablator.checkpoint.threshold)
