"""Scores examples with a torch.export program."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from services.attribution.domain.checkpoint import Checkpoint, Output
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.example import Examples

_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.nextafter(np.float32(1), np.float32(0)))


class TorchPredictor:
    """A program and the checkpoint that it belongs to."""

    def __init__(self, checkpoint: Checkpoint, program: ExportedProgram) -> None:
        self.checkpoint = checkpoint
        self.program = program
        self._module = program.module(check_guards=False)

    def logits(self, examples: Examples) -> NDArray[np.floating]:
        """Return the logit of each example, [N].

        A probability of exactly 0 or 1 counts as the float32 next to it; one outside of [0, 1] has
        no logit: NaN.

        Raises:
            CheckpointRefused: the program fails on these examples.
        """
        arguments = [torch.from_numpy(np.ascontiguousarray(a)) for a in examples.arguments()]
        try:
            with torch.inference_mode():
                answer = self._module(*arguments).numpy()
        except (RuntimeError, IndexError, AssertionError, TypeError, AttributeError) as error:
            raise CheckpointRefused(
                f"the program fails on {examples.count} examples of its own schema: {error}"
            ) from error
        if self.checkpoint.output is Output.LOGIT:
            return np.asarray(answer)
        return _logits_of(answer.astype(np.float64))


def _logits_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    valid = (probabilities >= 0) & (probabilities <= 1)
    inner = np.clip(probabilities, _SMALLEST, _LARGEST)
    return np.where(valid, np.log(inner) - np.log1p(-inner), np.nan)
