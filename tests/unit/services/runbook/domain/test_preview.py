"""Predicted calibration from joint ablation."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runbook.domain.errors import PreviewUnavailable
from services.runbook.domain.preview import JointAblation, Preview, predict, recovery
from tests.unit.services.runbook.builders import DIGEST, calibration

ABLATION = JointAblation(0.4, 0.3, 0.005, 2000, DIGEST)


def test_calibration_scales_with_the_mean_prediction() -> None:
    preview = predict(calibration(1.31), ABLATION)
    assert preview.calibration == pytest.approx(1.31 * 0.75)
    assert preview.lower < preview.calibration < preview.upper
    assert preview.example_count == 2000


def test_the_interval_adds_both_uncertainties() -> None:
    counted = calibration(1.31, observed=1600)
    preview = predict(counted, ABLATION)
    count_error = math.log(counted.upper / counted.lower) / (2 * 3.290527)
    error = math.hypot(count_error, 0.005 / 0.75)
    assert math.log(preview.upper / preview.calibration) == pytest.approx(1.959964 * error)
    assert math.log(preview.calibration / preview.lower) == pytest.approx(1.959964 * error)


def test_an_open_interval_falls_back_to_the_count() -> None:
    endless = replace(calibration(1.31, observed=400), upper=math.inf)
    preview = predict(endless, replace(ABLATION, ratio_standard_error=0.0))
    assert math.log(preview.upper / preview.calibration) == pytest.approx(1.959964 / 20)


@pytest.mark.parametrize("ratio", [0.0, math.inf, math.nan])
def test_without_events_there_is_nothing_to_scale(ratio: float) -> None:
    with pytest.raises(PreviewUnavailable, match="no events"):
        predict(replace(calibration(1.31), ratio=ratio), ABLATION)


def test_without_predictions_there_is_no_ratio() -> None:
    with pytest.raises(PreviewUnavailable, match="zero"):
        predict(calibration(1.31), replace(ABLATION, mean_prediction=0.0))


@pytest.mark.parametrize(
    ("realised", "predicted", "expected"),
    [(1.31, 1.03, 0.89), (1.31, 1.31, 0.0), (1.31, 1.0, 1.0), (0.5, 0.25, -1.0), (1.0, 1.2, 0.0)],
)
def test_recovery(realised: float, predicted: float, expected: float) -> None:
    preview = Preview(predicted, predicted, predicted, 1)
    assert recovery(preview, calibration(realised)) == pytest.approx(expected, abs=0.005)


@given(st.floats(0.2, 5.0), st.floats(0.2, 5.0))
def test_over_and_under_prediction_are_alike(realised: float, predicted: float) -> None:
    over = recovery(Preview(predicted, 1, 1, 1), calibration(realised))
    under = recovery(Preview(1 / predicted, 1, 1, 1), calibration(1 / realised))
    assert over == pytest.approx(under, rel=1e-6, abs=1e-9)
