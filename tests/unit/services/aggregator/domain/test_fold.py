"""Folded panes against exact ones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.fold import MOST_RELATIVE_ERROR, fold
from services.aggregator.domain.gfi import gather, importances
from services.aggregator.domain.profile import Profile, profile_of
from services.aggregator.domain.summary import Summary, summarise
from tests.unit.services.aggregator.values import numeric_sketch
from tests.unit.services.aggregator.worlds import block, lfis

SCALES = (1.0, 0.5, 0.1, 1e-6)


def panes(count: int, populations: Sequence[Population] = tuple(Population)) -> list[Pane]:
    made = []
    for number in range(count):
        # The populations are of different size, so that an example's weight tells them apart.
        population = populations[number % len(populations)]
        examples = 400 if population is Population.CONSIDERED else 700
        matrix = lfis(number, examples, SCALES, 0.3 + 0.1 * (number % 2))
        sketch = numeric_sketch(matrix, np.abs(np.tanh(matrix[:, 0])))
        made.append(replace(block(matrix, population=population).pane, sketch=sketch))
    return made


def summary(of: Sequence[Pane]) -> Summary:
    return summarise(of, len(SCALES), "window", resamples=2000)


def profiled(of: Sequence[Pane]) -> Profile:
    found = profile_of(of)
    assert found is not None
    return found


EXACT = panes(20)


@pytest.mark.parametrize(
    "populations", [tuple(Population), (Population.CONSIDERED,), (Population.DISPLAYED,)]
)
def test_importances_are_within_the_error_and_coverage_is_exact(
    populations: Sequence[Population],
) -> None:
    exact = panes(20, populations)
    gfi, coverage = importances(gather(exact, len(SCALES)))
    folded = fold(exact)
    assert len(folded) == len(populations)
    found, same = importances(gather(folded, len(SCALES)))
    assert same.tolist() == coverage.tolist()
    assert np.abs(found / gfi - 1).max() <= MOST_RELATIVE_ERROR


def test_errors_and_quantiles_are_those_of_the_exact_window() -> None:
    exact, folded = summary(EXACT), summary(fold(EXACT))
    assert (folded.considered_count, folded.displayed_count) == (4000, 7000)
    np.testing.assert_allclose(folded.standard_error, exact.standard_error, rtol=0.1)
    assert exact.quantiles is not None
    assert folded.quantiles is not None
    np.testing.assert_allclose(folded.quantiles, exact.quantiles, rtol=2**-6)


def test_it_does_not_matter_what_is_folded_together_or_when() -> None:
    at_once = fold(EXACT)
    bit_by_bit = fold([*fold(EXACT[7:]), *fold([*EXACT[5:7], *fold(EXACT[:5])])])
    for one, other in zip(at_once, bit_by_bit, strict=True):
        assert (one.population, one.example_count) == (other.population, other.example_count)
        assert one.counts is not None
        assert other.counts is not None
        for name in ("offsets", "values", "counts"):
            assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_folded_and_exact_panes_make_one_window() -> None:
    exact, mixed = summary(EXACT), summary([*fold(EXACT[:12]), *EXACT[12:]])
    assert mixed.coverage.tolist() == exact.coverage.tolist()
    assert np.abs(mixed.gfi / exact.gfi - 1).max() <= MOST_RELATIVE_ERROR


def test_the_profile_of_values_stays_the_same() -> None:
    exact, folded = profiled(EXACT), profiled([*fold(EXACT[:12]), *EXACT[12:]])
    assert folded.example_count == exact.example_count
    assert folded.baseline_rate.tolist() == exact.baseline_rate.tolist()
    assert folded.buckets.keys.tolist() == exact.buckets.keys.tolist()
    assert folded.buckets.counts.tolist() == exact.buckets.counts.tolist()
    np.testing.assert_allclose(folded.correlations, exact.correlations, atol=1e-6)


def test_blocks_that_told_nothing_of_their_values_stay_apart() -> None:
    silent = [replace(pane, sketch=None) for pane in EXACT[:4]]
    folded = fold([*silent, *EXACT[4:]])
    assert len(folded) == 4
    assert profiled(folded).example_count == profiled(EXACT[4:]).example_count
    assert summary(folded).coverage.tolist() == summary(EXACT).coverage.tolist()


def test_what_comes_of_a_fold_is_small() -> None:
    (folded,) = fold(panes(40, (Population.CONSIDERED,)))
    entries = sum(len(pane.values) for pane in panes(40, (Population.CONSIDERED,)))
    assert folded.counts is not None
    assert folded.counts.sum() == entries
    assert len(folded.values) < entries / 2
    assert folded.values.all()
