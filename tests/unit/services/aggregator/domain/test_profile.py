"""Profiles against NumPy on the raw values."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.profile import Profile, middle_of, profile_of
from services.aggregator.domain.sketch import FURTHEST
from tests.unit.services.aggregator.values import numeric_sketch

EMPTY = np.zeros(0, np.float32)


def pane(
    values: NDArray[np.float32],
    predictions: NDArray[np.float32],
    population: Population = Population.CONSIDERED,
) -> Pane:
    sketch = numeric_sketch(values, predictions)
    return Pane(population, len(values), np.zeros(2, np.uint32), EMPTY, sketch)


def drawn(seed: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    values = (rng.normal(3, 2, count) * (rng.random(count) < 0.7)).astype(np.float32)
    return values, np.clip(0.3 + 0.02 * values + rng.normal(0, 0.1, count), 0, 1).astype(np.float32)


def profiled(panes: Sequence[Pane]) -> Profile:
    found = profile_of(panes)
    assert found is not None
    return found


def test_batches_add_up_to_their_union() -> None:
    values, predictions = drawn(1, 5000)
    whole = profiled([pane(values, predictions)])
    cuts = np.split(np.arange(5000), [100, 2000, 2001])
    parts = profiled([pane(values[rows], predictions[rows]) for rows in cuts[::-1]])
    assert parts.example_count == whole.example_count == 5000
    assert parts.baseline_rate[0] == pytest.approx(np.mean(values == 0))
    assert parts.buckets.keys.tolist() == whole.buckets.keys.tolist()
    assert parts.buckets.counts.tolist() == whole.buckets.counts.tolist()
    expected = np.corrcoef(values.astype(np.float64), predictions.astype(np.float64))[0, 1]
    assert whole.correlations[0] == pytest.approx(expected, abs=1e-6)
    assert parts.correlations[0] == pytest.approx(expected, abs=1e-6)


def test_both_populations_have_half_of_the_weight() -> None:
    few, many = drawn(1, 400), drawn(2, 4000)
    few[0][:] += 1
    found = profiled([pane(*few), pane(*many, Population.DISPLAYED)])
    assert found.baseline_rate[0] == pytest.approx(
        (np.mean(few[0] == 0) + np.mean(many[0] == 0)) / 2
    )
    repeated = [np.concatenate([np.repeat(f, 10), m]) for f, m in zip(few, many, strict=True)]
    alone = profiled([pane(repeated[0], repeated[1])])
    assert found.correlations[0] == pytest.approx(alone.correlations[0], abs=1e-6)
    assert found.buckets.keys.tolist() == alone.buckets.keys.tolist()
    np.testing.assert_allclose(found.distribution(0)[1], alone.distribution(0)[1], atol=2e-4)


def test_a_distribution_tells_quantiles_within_a_sixteenth() -> None:
    values, predictions = drawn(3, 5000)
    buckets, shares = profiled([pane(values, predictions)]).distribution(0)
    present = np.sort(values[values != 0])
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        place = np.searchsorted(np.cumsum(shares), level)
        exact = np.quantile(present, level, method="inverted_cdf")
        assert middle_of(buckets)[place] == pytest.approx(exact, rel=1 / 8)
    assert shares.sum() == pytest.approx(1)


def test_what_never_changes_has_no_correlation() -> None:
    constant = np.full(10, 0.1, np.float32)
    _, predictions = drawn(1, 10)
    assert np.isnan(profiled([pane(constant, predictions)]).correlations[0])


def test_batches_without_a_sketch_are_left_out() -> None:
    known = pane(*drawn(1, 100))
    without = replace(pane(*drawn(2, 50)), sketch=None)
    assert profiled([known, without]).example_count == 100
    assert profile_of([without]) is None
    assert profile_of([]) is None


def test_middles_of_buckets() -> None:
    one = int(np.float32(1.0).view(np.uint32) >> 20)
    middles = middle_of(np.array([-one, 0, one, one + 8, FURTHEST]))
    assert middles.tolist() == [-1.0625, 0.0, 1.0625, 2.125, np.inf]
