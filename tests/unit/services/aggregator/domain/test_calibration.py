import math

import pytest

from services.aggregator.domain.calibration import (
    CONFIDENCE,
    Confirmation,
    HealthyBand,
    calibrate,
    poisson_interval,
)

BAND = HealthyBand(0.92, 1.08)

# Garwood's exact bounds, by bisection of the Poisson distribution.
EXACT_95 = {10: (4.7954, 18.3904), 100: (81.3640, 121.6273)}
EXACT_999 = {
    0: (0.0, 7.600902),
    1: (0.0005001, 9.998677),
    10: (2.699033, 25.255559),
    50: (29.947828, 77.814691),
    500: (429.680753, 577.942453),
    2000: (1856.110946, 2151.477039),
}


@pytest.mark.parametrize(("count", "bounds"), EXACT_95.items())
def test_interval_is_garwoods_at_95_percent(count: int, bounds: tuple[float, float]) -> None:
    assert poisson_interval(count, 0.95) == pytest.approx(bounds, rel=2e-3)


@pytest.mark.parametrize(("count", "tolerance"), [(10, 0.02), (50, 1.1e-3), (500, 3e-5)])
def test_interval_is_as_exact_as_it_says(count: int, tolerance: float) -> None:
    assert poisson_interval(count, CONFIDENCE) == pytest.approx(EXACT_999[count], rel=tolerance)


@pytest.mark.parametrize("count", EXACT_999)
def test_interval_errs_on_the_wide_side(count: int) -> None:
    lower, upper = poisson_interval(count, CONFIDENCE)
    assert 0 <= lower <= EXACT_999[count][0]
    assert upper >= EXACT_999[count][1]


def test_ratio_is_expected_over_observed() -> None:
    calibration = calibrate(1500.0, 1000, BAND)
    assert calibration is not None
    assert calibration.ratio == 1.5
    assert (calibration.expected, calibration.observed) == (1500.0, 1000)
    assert calibration.lower == pytest.approx(1500 / 1108.39, rel=1e-4)
    assert calibration.upper == pytest.approx(1500 / 899.21, rel=1e-4)


@pytest.mark.parametrize(
    ("expected", "observed", "anomalous"),
    [
        (1000.0, 1000, False),
        (1060.0, 1000, False),
        # Outside the band, and chance explains it.
        (1150.0, 1000, False),
        (1300.0, 1000, True),
        (750.0, 1000, True),
        (13.0, 10, False),
        (40.0, 10, True),
        (0.0, 1000, True),
    ],
)
def test_anomalous_is_what_chance_does_not_explain(
    expected: float, observed: int, anomalous: bool
) -> None:
    calibration = calibrate(expected, observed, BAND)
    assert calibration is not None
    assert calibration.anomalous is anomalous


def test_nothing_observed_can_be_anomalous_and_is_infinite() -> None:
    few, many = calibrate(5.0, 0, BAND), calibrate(500.0, 0, BAND)
    assert few is not None
    assert many is not None
    assert few.ratio == few.upper == math.inf
    assert not few.anomalous
    assert many.anomalous


@pytest.mark.parametrize(
    ("earlier", "confirmed"),
    [
        ([], True),
        ([(1300.0, 1000)], True),
        ([(1000.0, 1000)] * 3, False),
        # Out as well, but to the other side.
        ([(1000.0, 1800)] * 3, False),
    ],
)
def test_an_anomaly_is_confirmed_by_the_windows_before_it(
    earlier: list[tuple[float, int]], confirmed: bool
) -> None:
    short, *before = (calibrate(e, o, BAND) for e, o in [(1300.0, 1000), *earlier])
    assert short is not None
    known = [calibration for calibration in before if calibration is not None]
    assert Confirmation(4, BAND)(short, known) is confirmed


def test_nothing_expected_and_nothing_observed_says_nothing() -> None:
    assert calibrate(0.0, 0, BAND) is None
