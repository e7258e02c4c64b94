"""The engine and both LFI equations against Captum's FeatureAblation, over every architecture."""

import copy

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.checkpoint import Output, Schema
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod, attribute
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import AblationProgram
from tests.checkpoints import grouped, random_examples
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES
from tests.unit.services.attribution.engine.exporting import checkpoint_of, exported, seeded
from tests.unit.services.attribution.engine.vectors import GROUPS, make_schema

SCHEMAS = {"single": make_schema(), "groups": grouped(make_schema(), GROUPS)}
EXAMPLES = random_examples(SCHEMAS["single"], 17, seed=4)
THRESHOLD = 0.5
Matrix = NDArray[np.float64]


def _output(name: str) -> Output:
    return Output.PROBABILITY if name == "probability" else Output.LOGIT


def engine(name: str, schema: Schema) -> AblationProgram:
    program = exported(seeded(ARCHITECTURES[name], schema), schema)
    return compiled(program, checkpoint_of(schema, _output(name)))


def captum(name: str, examples: Examples) -> tuple[Matrix, Matrix]:
    """Return the probabilities [N, 1], and Captum's `p - p~` [N, M], of the model in float64."""
    schema = examples.schema
    module = copy.deepcopy(seeded(ARCHITECTURES[name], schema)).double()

    def probabilities(*inputs: Tensor) -> Tensor:
        answer: Tensor = module(*inputs)
        return answer if _output(name) is Output.PROBABILITY else torch.sigmoid(answer)

    row = schema.baseline_row()
    arguments = tuple(_doubled(a) for a in examples.arguments())
    baselines = tuple(_doubled(row[s.name]).unsqueeze(0) for s in schema.inputs)
    masks = [torch.zeros((1, *spec.shape), dtype=torch.int64) for spec in schema.inputs]
    position = schema.input_index
    places = [(j, c) for j, f in enumerate(schema.features) for c in f.members]
    for j, column in places:
        for place in column.inputs:
            where = slice(None) if column.column is None else column.column
            masks[position[place]][:, where] = j
    with torch.no_grad():
        parts = FeatureAblation(probabilities).attribute(
            arguments, baselines=baselines, feature_mask=tuple(masks)
        )
        predictions = probabilities(*arguments).numpy()[:, np.newaxis]
    firsts = [feature.members[0] for feature in schema.features]
    columns = [
        parts[position[c.input]].reshape(examples.count, -1)[:, c.column or 0].numpy()
        for c in firsts
    ]
    return predictions, np.stack(columns, axis=1)


def _doubled(array: NDArray[np.generic]) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.double() if tensor.is_floating_point() else tensor


@pytest.mark.parametrize("columns", SCHEMAS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_deltas_and_importances_equal_captums(name: str, columns: str) -> None:
    examples = Examples(SCHEMAS[columns], EXAMPLES.arrays)
    before, change = captum(name, examples)
    after = before - change
    # Of a probability nearer to 0 or 1, float64 keeps too few digits for a logit.
    tells = np.minimum.reduce([after, 1 - after, np.minimum(before, 1 - before) + 0 * after]) > 1e-9
    assert tells.mean() > 0.9
    ablations = engine(name, SCHEMAS[columns]).ablate(examples)
    logits = np.log(after / (1 - after)) - np.log(before / (1 - before))
    close(ablations.dense()[tells], logits[tells], 1e-5)
    close(attribute(ablations, LfiMethod.RELATIVE, THRESHOLD).dense(), change / before, 2e-5)
    equation_1 = np.where(
        before >= THRESHOLD, np.log(after / before), np.log((1 - after) / (1 - before))
    )
    pseudo_loss = attribute(ablations, LfiMethod.PSEUDO_LOSS, THRESHOLD).dense()
    close(pseudo_loss[tells], equation_1[tells], 2e-5)


def close(got: Matrix, wanted: Matrix, tolerance: float) -> None:
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(got, wanted, atol=tolerance * scale)
