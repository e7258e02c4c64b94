"""Captum's FeatureAblation says what our equation 2 says, of this very model, feature by feature.

Captum scores all examples again for each feature, which takes a hundred times as long as the
engine: over all runs its GFI is therefore taken from the engine, after both were compared here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from captum.attr import FeatureAblation
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod, attribute
from services.attribution.ports import Predictor
from tests.bench.diagnosis.scoring import Scoring, examples_of, gfi

_TOLERANCE = 1e-3
"""Captum subtracts float32 probabilities, and divides by small ones."""


@dataclass(frozen=True)
class Agreement:
    """Over how many examples both were compared, and by how much they differ at most."""

    examples: int
    lfi: float
    gfi: float

    def as_json(self) -> dict[str, Any]:
        """Return the figures by the keys of the last line."""
        return {
            "examples": self.examples,
            "largest_lfi_difference": float(f"{self.lfi:.2g}"),
            "largest_gfi_difference": float(f"{self.gfi:.2g}"),
        }


def check_against_captum(scoring: Scoring, table: pa.Table) -> Agreement:
    """Compare the relative LFIs and GFIs of all features over a table's examples.

    Raises:
        AssertionError: Captum says something else.
    """
    scorer = scoring.scorer
    examples = examples_of(scorer, table)
    ours = attribute(scorer.ablator.ablate(examples), LfiMethod.RELATIVE, 0.5)
    theirs = _relative(scorer.predictor, examples)
    importances = np.array([_importance(column) for column in np.abs(theirs.T)])
    found = Agreement(
        examples=examples.count,
        lfi=float(np.abs(theirs - ours.dense()).max()),
        gfi=float(np.abs(importances - gfi(ours)).max()),
    )
    assert max(found.lfi, found.gfi) < _TOLERANCE, f"Captum differs: {found}"
    return found


def _relative(predictor: Predictor, examples: Examples) -> NDArray[np.float64]:
    """Return Captum's p - p~ over p, [N, M]."""
    schema = examples.schema

    def predict(*inputs: Tensor) -> Tensor:
        names = [spec.name for spec in schema.inputs]
        arrays = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
        logits = predictor.logits(Examples(schema, arrays))
        return torch.sigmoid(torch.from_numpy(np.array(logits, dtype=np.float64)))

    row, position = schema.baseline_row(), schema.input_index
    inputs = tuple(torch.from_numpy(array) for array in examples.arguments())
    masks = tuple(torch.zeros((1, *spec.shape), dtype=torch.int64) for spec in schema.inputs)
    for j, feature in enumerate(schema.columns):
        where = slice(None) if feature.column is None else feature.column
        for name in feature.inputs:
            masks[position[name]][:, where] = j
    parts = FeatureAblation(predict).attribute(
        inputs,
        baselines=tuple(torch.from_numpy(row[s.name]).unsqueeze(0) for s in schema.inputs),
        feature_mask=masks,
    )
    changes = [
        parts[position[f.input]].reshape(examples.count, -1)[:, f.column or 0].numpy()
        for f in schema.columns
    ]
    return np.asarray(np.stack(changes, axis=1) / predict(*inputs).numpy()[:, np.newaxis])


def _importance(magnitudes: NDArray[np.float64]) -> float:
    """Return equation 4 of one feature's |LFI|, [N]."""
    present = magnitudes[magnitudes > 0]
    return len(present) / len(magnitudes) * float(np.median(present)) if len(present) else 0.0
