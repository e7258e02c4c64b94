"""The engine and both LFI equations against Captum's FeatureAblation, over every architecture."""

import copy

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.checkpoint import Output
from services.attribution.domain.lfi import LfiMethod, attribute
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import AblationProgram
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.architectures import (
    ARCHITECTURES,
    checkpoint_of,
    exported,
    make_schema,
    seeded,
)

SCHEMA = make_schema()
EXAMPLES = random_examples(SCHEMA, 17, seed=4)
THRESHOLD = 0.5
Matrix = NDArray[np.float64]


def _output(name: str) -> Output:
    return Output.PROBABILITY if name == "probability" else Output.LOGIT


def engine(name: str) -> AblationProgram:
    program = exported(seeded(ARCHITECTURES[name], SCHEMA), SCHEMA)
    return compiled(program, checkpoint_of(SCHEMA, _output(name)))


def captum(name: str) -> tuple[Matrix, Matrix]:
    """Return the probabilities [N, 1], and Captum's `p - p~` [N, M], of the model in float64."""
    module = copy.deepcopy(seeded(ARCHITECTURES[name], SCHEMA)).double()

    def probabilities(*inputs: Tensor) -> Tensor:
        answer: Tensor = module(*inputs)
        return answer if _output(name) is Output.PROBABILITY else torch.sigmoid(answer)

    row = SCHEMA.baseline_row()
    arguments = tuple(_doubled(a) for a in EXAMPLES.arguments())
    baselines = tuple(_doubled(row[s.name]).unsqueeze(0) for s in SCHEMA.inputs)
    masks = [torch.zeros((1, *spec.shape), dtype=torch.int64) for spec in SCHEMA.inputs]
    position = SCHEMA.input_index
    for j, feature in enumerate(SCHEMA.features):
        for place in feature.inputs:
            where = slice(None) if feature.column is None else feature.column
            masks[position[place]][:, where] = j
    with torch.no_grad():
        parts = FeatureAblation(probabilities).attribute(
            arguments, baselines=baselines, feature_mask=tuple(masks)
        )
        predictions = probabilities(*arguments).numpy()[:, np.newaxis]
    columns = [
        parts[position[f.input]].reshape(EXAMPLES.count, -1)[:, f.column or 0].numpy()
        for f in SCHEMA.features
    ]
    return predictions, np.stack(columns, axis=1)


def _doubled(array: NDArray[np.generic]) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.double() if tensor.is_floating_point() else tensor


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_deltas_and_importances_equal_captums(name: str) -> None:
    before, change = captum(name)
    after = before - change
    ablations = engine(name).ablate(EXAMPLES)
    close(ablations.dense(), np.log(after / (1 - after)) - np.log(before / (1 - before)), 1e-5)
    close(attribute(ablations, LfiMethod.RELATIVE, THRESHOLD).dense(), change / before, 2e-5)
    equation_1 = np.where(
        before >= THRESHOLD, np.log(after / before), np.log((1 - after) / (1 - before))
    )
    close(attribute(ablations, LfiMethod.PSEUDO_LOSS, THRESHOLD).dense(), equation_1, 2e-5)


def close(got: Matrix, wanted: Matrix, tolerance: float) -> None:
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(got, wanted, atol=tolerance * scale)
