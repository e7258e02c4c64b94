"""Scores examples with any function in this process, such as scikit-learn's `predict_proba`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.example import Examples
from services.attribution.domain.logit import logits_of


class CallablePredictor:
    """A function of the schema's inputs and the checkpoint that it stands for.

    The function takes the inputs in their order, `[B, *shape]` each, and answers `[B]`, `[B, 1]` or
    the probabilities of two classes, `[B, 2]`: a classifier's bound method over one packed input
    does as it is. It never comes from a file: who has the object has loaded it.
    """

    def __init__(self, checkpoint: Checkpoint, predict: Callable[..., NDArray[Any]]) -> None:
        self.checkpoint = checkpoint
        self._predict = predict

    def logits(self, examples: Examples) -> NDArray[np.floating]:
        """Return the logit of each example, [N], or of each class, [N, C].

        Raises:
            CheckpointRefused: the answer has another shape.
        """
        answer = self._predict(*examples.arguments())
        return logits_of(np.asarray(answer), self.checkpoint)
