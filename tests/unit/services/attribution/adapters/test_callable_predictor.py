"""Any function of the inputs can be ablated, such as a classifier's `predict_proba`."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.attribution.adapters.callable_predictor import CallablePredictor
from services.attribution.domain.checkpoint import Feature, FeatureKind, InputSpec, Output, Schema
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.lfi import LfiMethod
from services.attribution.explain import Explain
from services.attribution.plain_ablation import PlainAblation
from tests.checkpoints import random_examples
from tests.unit.services.attribution.predictors import FORMULA

SCHEMA = Schema(
    inputs=(InputSpec("x", np.dtype(np.float32), (4,)),),
    features=tuple(Feature(f"n{j}", FeatureKind.NUMERIC, "x", column=j) for j in range(4)),
)
EXAMPLES = random_examples(SCHEMA, 100, seed=2, absent=0.4)


class Classifier:
    """What scikit-learn's classifiers look like."""

    coefficients = np.array([1.0, -2.0, 0.5, 0.0])

    def decision_function(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(rows @ self.coefficients)

    def predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        clicked = 1 / (1 + np.exp(-self.decision_function(rows)))
        return np.stack([1 - clicked, clicked], axis=1)


def checkpoint(output: Output) -> CallablePredictor:
    model = Classifier()
    predict = model.predict_proba if output is Output.PROBABILITY else model.decision_function
    return CallablePredictor(replace(FORMULA, schema=SCHEMA, output=output), predict)


@pytest.mark.parametrize("output", Output)
def test_importances_are_those_of_the_formula(output: Output) -> None:
    importances = Explain(PlainAblation(checkpoint(output), 64), LfiMethod.RELATIVE)(EXAMPLES)
    rows = EXAMPLES.arrays["x"].astype(np.float64)
    expected = np.zeros((100, 4))
    before = Classifier().predict_proba(rows.astype(np.float32))[:, 1]
    for j in range(4):
        ablated = rows.copy()
        ablated[:, j] = 0
        expected[:, j] = 1 - Classifier().predict_proba(ablated.astype(np.float32))[:, 1] / before
    assert importances.dense() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert not importances.dense()[:, 3].any()
    assert not importances.dense()[rows == 0].any()


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (Output.PROBABILITY, np.zeros((3, 3))),
        (Output.PROBABILITY, np.zeros((3, 1, 1))),
        (Output.LOGIT, np.zeros((3, 2))),
        (Output.LOGIT, np.zeros(3, dtype=np.int64)),
    ],
)
def test_an_answer_of_another_shape_is_refused(output: Output, answer: NDArray[np.generic]) -> None:
    predictor = CallablePredictor(
        replace(FORMULA, schema=SCHEMA, output=output), lambda rows: answer
    )
    with pytest.raises(CheckpointRefused):
        predictor.logits(EXAMPLES.part(0, 3))
