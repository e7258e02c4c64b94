"""Predictors of the small models, and one of arithmetic only."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.checkpoint import Checkpoint, Output, Schema
from services.attribution.domain.example import Examples
from services.attribution.plain_ablation import PlainAblation
from services.attribution.ports import Ablator, Predictor
from tests.checkpoints import SCHEMA, TRAINED_UNTIL, small_checkpoint

FORMULA = Checkpoint("formula", "1", TRAINED_UNTIL, Output.LOGIT, 0.5, SCHEMA, "0" * 64)


def plain(predictor: Predictor) -> Ablator:
    """Return the plain ablator with blocks that small batches fill."""
    return PlainAblation(predictor, block_examples=256)


@cache
def small_predictor(name: str, schema: Schema = SCHEMA) -> TorchPredictor:
    """Return the small model of that name, as a checkpoint folder gives it."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        scorer = FolderCheckpoints([root], {".pt2": TorchPrograms(plain)}).read(
            small_checkpoint(root / name, name, schema=schema)
        )
    assert isinstance(scorer.predictor, TorchPredictor)
    return scorer.predictor


@dataclass(frozen=True)
class Formula:
    """A Predictor whose logits are a function of the examples."""

    function: Callable[[Examples], NDArray[np.floating]]
    checkpoint: Checkpoint = FORMULA

    def logits(self, examples: Examples) -> NDArray[np.floating]:
        """Return what the function says."""
        return self.function(examples)
