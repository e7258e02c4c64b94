"""Bounds fail as rarely as they say, with and without replacement: exact probabilities, no dice."""

from math import comb, exp, log

import numpy as np
import pytest
from numpy.typing import NDArray

from services.attribution.domain.bounds import coverage_bounds, median_ranks, relative_entropy

SURPRISES = [1.0, 3.0, 8.0]


def binomial(draws: int, p: float) -> NDArray[np.float64]:
    return np.array([comb(draws, k) * p**k * (1 - p) ** (draws - k) for k in range(draws + 1)])


def hypergeometric(draws: int, hits: int, population: int) -> NDArray[np.float64]:
    every = comb(population, draws)
    ways = [comb(hits, k) * comb(population - hits, draws - k) for k in range(draws + 1)]
    return np.array([way / every for way in ways])


@pytest.mark.parametrize("surprise", SURPRISES)
@pytest.mark.parametrize("draws", [1, 7, 40])
def test_coverage_bounds_fail_as_rarely_as_they_say(draws: int, surprise: float) -> None:
    lower, upper = coverage_bounds(np.arange(draws + 1), draws, surprise)
    population = 60
    for hits in range(population + 1):
        share = hits / population
        for chances in (binomial(draws, share), hypergeometric(draws, hits, population)):
            assert chances[lower > share].sum() <= exp(-surprise) * (1 + 1e-9)
            assert chances[upper < share].sum() <= exp(-surprise) * (1 + 1e-9)


def test_coverage_bounds_are_no_wider_than_chernoff_allows() -> None:
    counts = np.arange(41)
    lower, upper = coverage_bounds(counts, 40, 3.0)
    assert (lower <= counts / 40).all()
    assert (counts / 40 <= upper).all()
    inner = slice(1, -1)
    for bound in (lower, upper):
        entropy = 40 * relative_entropy(counts / 40, bound)
        assert entropy[inner] == pytest.approx(np.full(39, 3.0), rel=1e-9)
    assert (lower[0], upper[-1]) == (0.0, 1.0)
    # Nothing seen in n draws: (1 - p)^n = exp(-surprise).
    assert upper[0] == pytest.approx(1 - exp(-3.0 / 40))


@pytest.mark.parametrize("surprise", SURPRISES)
def test_medians_are_bounded_by_the_first_rank_that_is_rare_enough(surprise: float) -> None:
    counts = np.arange(1, 121)
    for count, rank in zip(counts.tolist(), median_ranks(counts, surprise).tolist(), strict=True):
        if rank > count:
            assert count * log(2) < surprise
            continue
        # The rank-th smallest lies below the median if at least so many draws do.
        assert binomial(count, 0.5)[rank:].sum() <= exp(-surprise) * (1 + 1e-9)
        before = np.array([(rank - 1) / count])
        is_first = before < 0.5 or count * relative_entropy(before, np.array([0.5])) < surprise
        assert is_first
