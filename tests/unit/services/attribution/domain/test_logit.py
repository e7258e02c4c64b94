"""What counts as rounding."""

import numpy as np

from services.attribution.domain.checkpoint import Output
from services.attribution.domain.logit import same_but_for_rounding, sigmoid

EPSILON = float(np.finfo(np.float32).eps)


def same(before: float, after: float, output: Output) -> bool:
    return bool(same_but_for_rounding(np.array([before]), np.array([after]), output, 4)[0])


def test_roundings_of_small_logits_are_absolute_and_of_large_ones_relative() -> None:
    assert same(0.01, 0.01 + 3.9 * EPSILON, Output.LOGIT)
    assert not same(0.01, 0.01 + 4.1 * EPSILON, Output.LOGIT)
    assert same(-50.0, -50.0 + 199 * EPSILON, Output.LOGIT)
    assert not same(-50.0, -50.0 + 201 * EPSILON, Output.LOGIT)


def test_probabilities_next_to_one_are_the_same_however_far_their_logits() -> None:
    largest, next_largest = 1 - 2**-24, 1 - 2**-23
    before, after = (float(np.log(p / (1 - p))) for p in (largest, next_largest))
    assert after - before < -0.6
    assert same(before, after, Output.PROBABILITY)
    assert not same(before, 0.0, Output.PROBABILITY)


def test_small_probabilities_are_compared_by_ratio() -> None:
    assert not same(-40.0, -40.0 + 1e-4, Output.PROBABILITY)
    assert same(-40.0, -40.0 + 39 * EPSILON, Output.PROBABILITY)


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
