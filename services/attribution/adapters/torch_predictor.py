"""Scores examples with a torch.export program."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.example import Examples
from services.attribution.domain.logit import logits_of


class TorchPredictor:
    """A program and the checkpoint that it belongs to."""

    def __init__(self, checkpoint: Checkpoint, program: ExportedProgram) -> None:
        self.checkpoint = checkpoint
        self.program = program
        self._module = program.module(check_guards=False)

    def logits(self, examples: Examples) -> NDArray[np.floating]:
        """Return the logit of each example, [N], or of each class, [N, C].

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
        return logits_of(answer, self.checkpoint)
