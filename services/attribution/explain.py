"""Attributes predictions to features, example by example."""

from collections.abc import Callable
from dataclasses import dataclass

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
        self, examples: Examples, is_wanted: Callable[[], bool] = lambda: True
    ) -> SparseLfi:
        """Return the non-zero importances of the examples.

        Raises:
            NotFinite: a prediction is NaN or infinite.
            Abandoned: the answer is not wanted any more.
        """
        starts = range(0, examples.count, self.block_examples)
        return joined([self._block(examples, start, is_wanted) for start in starts])

    def _block(self, examples: Examples, start: int, is_wanted: Callable[[], bool]) -> SparseLfi:
        if not is_wanted():
            raise Abandoned("nobody waits for the answer any more")
        block = examples.part(start, start + self.block_examples)
        ablations = self.ablator.ablate(block)
        return attribute(ablations, self.method, self.ablator.checkpoint.threshold)
