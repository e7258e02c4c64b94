"""How important something was in a window, and how that moved."""

import math

import numpy as np
import pytest

from services.attribution.domain.importance import Importance, Move, importance_of


def _at(*gfi: float, error: float = 0.01) -> Move:
    return Move([Importance(value, 1.0, error, 100) for value in gfi])


def test_importance_is_coverage_times_the_median() -> None:
    found = importance_of(np.array([-0.5, 0.25, 1.0], np.float32), 12)
    assert (found.gfi, found.coverage, found.example_count) == (0.125, 0.25, 12)


def test_what_has_no_effect_has_no_importance() -> None:
    assert importance_of(np.empty(0, np.float32), 7) == Importance(0.0, 0.0, 0.0, 7)


@pytest.mark.parametrize("coverage", [0.3, 1.0])
def test_the_standard_error_is_that_of_resamples(coverage: float) -> None:
    rng = np.random.default_rng(3)
    count, resamples = 800, 4000
    lfis = rng.lognormal(-2, 1, count) * (rng.random(count) < coverage)
    drawn = lfis[rng.integers(count, size=(resamples, count))]
    gfis = [(row > 0).mean() * np.median(row[row > 0]) for row in drawn]
    found = importance_of(lfis[lfis > 0].astype(np.float32), count)
    assert found.standard_error == pytest.approx(np.std(gfis, ddof=1), rel=0.2)


def test_a_shift_is_held_against_its_rows() -> None:
    move = _at(0.4, 0.3)
    assert move.shift == pytest.approx(-0.1)
    assert move.noise == pytest.approx(0.01 * math.sqrt(2))
    assert move.z == pytest.approx(0.1 / move.noise)


def test_a_past_that_changed_more_is_the_noise() -> None:
    move = _at(0.5, 0.45, 0.5, 0.4)
    assert move.noise == pytest.approx(0.05)
    assert move.z == pytest.approx(2.0)
    assert _at(0.5, 0.5, 0.5, 0.4).noise == pytest.approx(_at(0.5, 0.4).noise)


def test_without_noise_any_shift_is_one() -> None:
    assert _at(0.5, 0.5, error=0.0).z == 0
    assert _at(0.5, 0.4, error=0.0).z == math.inf
