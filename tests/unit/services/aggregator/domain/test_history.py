from datetime import timedelta

import numpy as np
import pytest

from services.aggregator.domain.history import (
    PRIOR_CHANGES,
    historical_noise,
    pair_up,
    phases_of,
)
from services.aggregator.domain.summary import Summary
from tests.unit.services.aggregator.domain.test_control import window
from tests.unit.services.aggregator.worlds import HOUR, NOON, hours

DAY = timedelta(days=1)


def summary(gfi: list[float], error: float = 0.0) -> Summary:
    errors = np.full(len(gfi), error)
    return Summary(500, 500, np.array(gfi), np.ones(len(gfi)), errors)


def test_changes_over_the_lag_are_preferred() -> None:
    days = [window(NOON - n * DAY) for n in (4, 3, 2, 1)]
    assert pair_up(days, DAY) == [(1, 0), (2, 1), (3, 2)]


def test_with_too_few_of_them_neighbours_stand_in() -> None:
    windows = [window(NOON - DAY), *(window(start) for start in hours(3))]
    assert pair_up(windows, DAY) == [(1, 0), (2, 1), (3, 2)]
    assert pair_up(windows, 5 * HOUR) == [(1, 0), (2, 1), (3, 2)]
    assert pair_up(windows[:1], DAY) == []


def test_phases_are_those_of_the_lag() -> None:
    starts = [NOON - 2 * DAY, NOON - 2 * DAY + HOUR, NOON - DAY, NOON - DAY + HOUR]
    windows = [window(start) for start in starts]
    assert phases_of(windows, [(2, 0), (3, 1)], window(NOON), DAY).tolist() == [0, 1, 0, 1, 0]


def test_neighbours_that_stand_in_have_no_phases() -> None:
    windows = [window(start) for start in hours(3)]
    assert phases_of(windows, [(1, 0), (2, 1)], window(NOON), DAY).tolist() == [0, 0, 0, 0]


def test_without_a_past_the_noise_is_a_tenth_of_the_level() -> None:
    noise = historical_noise(summary([2.0, 0.0]), [], [])
    assert noise.variance.tolist() == [pytest.approx(0.04), 0.0]
    assert noise.degrees == PRIOR_CHANGES


def test_what_the_bootstrap_explains_is_not_counted_again() -> None:
    rng = np.random.default_rng(1)
    past = [summary((1 + 0.1 * rng.standard_normal(50)).tolist(), error=0.1) for _ in range(40)]
    noise = historical_noise(past[-1], past, [(n, n - 1) for n in range(1, 40)])
    assert np.sqrt(noise.variance).mean() < 0.04


def test_a_long_past_speaks_for_itself() -> None:
    rng = np.random.default_rng(2)
    quiet, restless = 0.01, 0.3
    past = [
        summary([1 + quiet * rng.standard_normal(), *(1 + restless * rng.standard_normal(2))])
        for _ in range(400)
    ]
    noise = historical_noise(past[-1], past, [(n, n - 1) for n in range(1, 400)])
    # A change between two windows has twice the variance of one.
    assert np.sqrt(noise.variance[1:]) == pytest.approx(restless * np.sqrt(2), rel=0.1)
    # What is left of the pooled noise weighs 8 of 407.
    pooled = noise.variance[1] * PRIOR_CHANGES / (399 + PRIOR_CHANGES)
    assert noise.variance[0] == pytest.approx(2 * quiet**2 + pooled, rel=0.3)


def test_a_short_past_leans_on_all_features() -> None:
    # One feature happened to stand still between two windows.
    past = [summary([1.0] * 6), summary([1.0, *[1.2] * 5])]
    noise = historical_noise(past[-1], past, [(1, 0)])
    assert noise.variance[0] > 0.02
    assert noise.change_count == 1
