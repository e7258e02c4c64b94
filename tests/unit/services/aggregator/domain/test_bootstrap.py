"""The O(1) bootstrap against resamples drawn one by one, at fixed seeds."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.bootstrap import resampled_importances, standard_errors
from services.aggregator.domain.gfi import gather, importances
from tests.unit.services.aggregator.worlds import block

Rows = NDArray[np.float32]
_BRUTE = 2500
_FAST = 40_000


def rows(seed: int, count: int, coverage: float, draw: Callable[..., NDArray[np.float64]]) -> Rows:
    rng = np.random.default_rng(seed)
    present = rng.random(count) < coverage
    return (draw(rng, count) * present).astype(np.float32).reshape(-1, 1)


def normal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.standard_normal(count)


def skewed(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.lognormal(0, 1.5, count)


def tripled(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return 3 * rng.lognormal(0, 1.5, count)


def small(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.lognormal(0, 0.5, count)


def large(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.lognormal(1, 0.5, count)


def of_four_values(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.choice([0.1, 0.2, 0.5, 3.0], count)


def panes(populations: dict[Population, Rows]) -> list[Pane]:
    return [block(rows, population=population).pane for population, rows in populations.items()]


def brute(populations: dict[Population, Rows], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    draws = np.empty(_BRUTE)
    for number in range(_BRUTE):
        resample = {p: rng.choice(examples, len(examples)) for p, examples in populations.items()}
        draws[number] = importances(gather(panes(resample), 1))[0][0]
    return draws


C, D = Population.CONSIDERED, Population.DISPLAYED
CASES = {
    "considered": {C: rows(1, 500, 0.3, normal)},
    "displayed": {D: rows(2, 501, 0.9, skewed)},
    "few": {C: rows(3, 40, 0.2, normal)},
    "both": {C: rows(4, 1500, 0.3, normal), D: rows(5, 300, 0.3, normal)},
    "different": {C: rows(6, 1500, 0.3, skewed), D: rows(7, 300, 0.8, tripled)},
    "apart": {C: rows(13, 1500, 0.5, small), D: rows(14, 300, 0.5, large)},
    "as many": {C: rows(8, 400, 0.5, normal), D: rows(9, 400, 0.5, skewed)},
    "ties": {C: rows(10, 1000, 0.3, of_four_values), D: rows(11, 200, 0.7, of_four_values)},
    "absent in one": {C: rows(12, 600, 0.5, normal), D: np.zeros((300, 1), dtype=np.float32)},
}


@pytest.mark.parametrize("case", CASES)
def test_errors_are_those_of_brute_force(case: str) -> None:
    column = next(iter(gather(panes(CASES[case]), 1)))
    fast = resampled_importances(column, _FAST, np.random.default_rng(20))
    slow = brute(CASES[case], seed=21)
    assert fast.std() == pytest.approx(slow.std(), rel=0.08)
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.1 * slow.std())


@pytest.mark.parametrize("case", ["considered", "displayed", "few"])
def test_the_whole_distribution_is_exact_for_one_population(case: str) -> None:
    column = next(iter(gather(panes(CASES[case]), 1)))
    fast = np.sort(resampled_importances(column, _FAST, np.random.default_rng(22)))
    slow = np.sort(brute(CASES[case], seed=23))
    # Kolmogorov and Smirnov's distance; 0.04 is its 0.1 % point for these counts.
    grid = np.unique(slow)
    shares = [np.searchsorted(draws, grid, "right") / len(draws) for draws in (fast, slow)]
    assert np.abs(shares[0] - shares[1]).max() < 0.04


def test_the_same_seed_gives_the_same_errors() -> None:
    columns = gather(panes(CASES["both"]), 1)
    first, again = (standard_errors(columns, 200, seed=5) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert standard_errors(columns, 200, seed=6).tolist() != first.tolist()


def test_a_feature_without_entries_has_no_error() -> None:
    columns = gather(panes({C: np.zeros((10, 1), dtype=np.float32)}), 1)
    assert standard_errors(columns, 100, seed=1).tolist() == [0.0]


def test_twice_the_examples_shrink_the_error_by_the_root_of_two() -> None:
    small, large = (
        standard_errors(gather(panes({C: rows(30, count, 0.5, normal)}), 1), 4000, seed=1)[0]
        for count in (4000, 16_000)
    )
    assert small / large == pytest.approx(2, rel=0.15)
