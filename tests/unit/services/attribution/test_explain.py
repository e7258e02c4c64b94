"""Both equations agree with Captum's FeatureAblation, a second implementation of ablation."""

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.checkpoint import Output
from services.attribution.domain.lfi import LfiMethod
from services.attribution.explain import Explain
from services.attribution.plain_ablation import PlainAblation
from tests.checkpoints import SCHEMA, SMALL_MODELS, random_examples, small_model
from tests.unit.services.attribution.predictors import small_predictor

EXAMPLES = random_examples(count=64, seed=11)


def captum_drops(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return p, [N], and p - p~ of each feature, [N, M], as Captum sees them."""
    module = small_model(name)

    def predict(*inputs: Tensor) -> Tensor:
        answer: Tensor = module(*inputs).double()
        return answer if name == "probability" else torch.sigmoid(answer)

    inputs = tuple(torch.from_numpy(a) for a in EXAMPLES.arguments())
    row = SCHEMA.baseline_row()
    baselines = tuple(torch.from_numpy(row[s.name]).unsqueeze(0) for s in SCHEMA.inputs)
    masks = [torch.zeros((1, *s.shape), dtype=torch.long) for s in SCHEMA.inputs]
    for j, feature in enumerate(SCHEMA.columns):
        for place in feature.inputs:
            mask = masks[SCHEMA.input_index[place]]
            (mask if feature.column is None else mask[:, feature.column]).fill_(j)
    with torch.no_grad():
        drops = FeatureAblation(predict).attribute(
            inputs, baselines=baselines, feature_mask=tuple(masks)
        )
        predictions = predict(*inputs).numpy()
    columns = []
    for feature in SCHEMA.columns:
        drop = drops[SCHEMA.input_index[feature.input]].reshape(64, -1)
        columns.append(drop[:, feature.column or 0].numpy())
    return predictions, np.stack(columns, axis=1)


@pytest.fixture(params=SMALL_MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ours(name: str, method: LfiMethod) -> NDArray[np.float64]:
    explain = Explain(PlainAblation(small_predictor(name), 256), method)
    return explain(EXAMPLES).dense()


def test_the_relative_equation_agrees_with_captum(name: str) -> None:
    predictions, drops = captum_drops(name)
    importances = ours(name, LfiMethod.RELATIVE)
    assert importances == pytest.approx(drops / predictions[:, None], rel=1e-4, abs=2e-6)
    assert ((importances != 0) == (drops != 0)).all()


def test_the_pseudo_loss_agrees_with_captum(name: str) -> None:
    predictions, drops = captum_drops(name)
    before = predictions[:, None]
    after = before - drops
    clicked = np.log(after / before)
    not_clicked = np.log((1 - after) / (1 - before))
    expected = np.where(before >= 0.5, clicked, not_clicked)
    importances = ours(name, LfiMethod.PSEUDO_LOSS)
    assert importances == pytest.approx(expected, rel=1e-4, abs=2e-6)
    assert (before >= 0.5).any()
    assert (before < 0.5).any()


def test_predictions_are_probabilities(name: str) -> None:
    predictor = small_predictor(name)
    result = Explain(PlainAblation(predictor, 256), LfiMethod.RELATIVE)(EXAMPLES)
    answers = small_model(name)(*[torch.from_numpy(a) for a in EXAMPLES.arguments()]).detach()
    logit = predictor.checkpoint.output is Output.LOGIT
    expected = (torch.sigmoid(answers) if logit else answers).numpy()
    assert result.predictions == pytest.approx(expected, rel=1e-5)
