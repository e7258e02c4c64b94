"""Captum's FeatureAblation says what our equation 2 says, on some pairs of this very model."""

import numpy as np
import pyarrow as pa
import torch
from captum.attr import FeatureAblation
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod, attribute
from tests.bench.diagnosis.scoring import Scoring, examples_of

_ROWS, _STEP = 64, 12
_TOLERANCE = 1e-4


def check_against_captum(scoring: Scoring, table: pa.Table) -> None:
    """Compare some features' relative LFIs over a few examples.

    Raises:
        AssertionError: Captum says something else.
    """
    scorer = scoring.scorer
    examples = examples_of(scorer, table.slice(0, _ROWS))
    ours = attribute(scorer.ablator.ablate(examples), LfiMethod.RELATIVE, 0.5).dense()
    features = examples.schema.features[::_STEP]
    for feature in features:
        place = examples.schema.features.index(feature)
        theirs = _relative(scoring, table, place)
        worst = float(np.abs(theirs - ours[:, place]).max())
        assert worst < _TOLERANCE, f"{feature.name}: Captum differs by {worst}"


def _relative(scoring: Scoring, table: pa.Table, place: int) -> NDArray[np.float64]:
    """Return Captum's p - p~ over p, [N], of the feature at that place."""
    examples = examples_of(scoring.scorer, table.slice(0, _ROWS))
    schema, feature = examples.schema, examples.schema.columns[place]
    arguments = {name: torch.from_numpy(array) for name, array in examples.arrays.items()}
    row = {name: torch.from_numpy(array) for name, array in schema.baseline_row().items()}

    def predict(*ablated: Tensor) -> Tensor:
        given = arguments | dict(zip(feature.inputs, ablated, strict=True))
        together = Examples(schema, {name: given[name].numpy() for name in examples.arrays})
        logits = scoring.scorer.predictor.logits(together)
        return torch.sigmoid(torch.from_numpy(np.array(logits, dtype=np.float64)))

    inputs = tuple(arguments[name] for name in feature.inputs)
    masks = tuple(torch.zeros((1, *tensor.shape[1:]), dtype=torch.long) for tensor in inputs)
    if feature.column is not None:
        masks[0][0, feature.column] = 1
    baselines = tuple(row[name].expand(1, *row[name].shape) for name in feature.inputs)
    answers = FeatureAblation(predict).attribute(inputs, baselines, feature_mask=masks)
    answer = answers[0][:, feature.column] if feature.column is not None else answers[0].flatten(1)
    changed = answer if answer.ndim == 1 else answer[:, 0]
    return np.asarray(changed.numpy() / predict(*inputs).numpy(), dtype=np.float64)
