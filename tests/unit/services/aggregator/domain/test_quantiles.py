import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.quantiles import LEVELS, rounded, signed_quantiles

_SMALLEST, _LARGEST = 2.0**-126, float(np.finfo(np.float32).max)
_VALUES = st.floats(_SMALLEST, _LARGEST, width=32) | st.floats(-_LARGEST, -_SMALLEST, width=32)
_COLUMN = arrays(np.float32, st.integers(1, 60), elements=_VALUES)


def pane(
    values: NDArray[np.float32], population: Population = Population.CONSIDERED, count: int = 100
) -> Pane:
    return Pane(population, count, np.array([0, len(values)], dtype=np.uint32), values)


@settings(deadline=None)
@given(_COLUMN)
def test_of_one_population_they_are_order_statistics(values: NDArray[np.float32]) -> None:
    expected = np.quantile(values, LEVELS, method="inverted_cdf").astype(np.float32)
    found = signed_quantiles([pane(values)], 1)[0]
    np.testing.assert_allclose(found, rounded(expected), rtol=2**-7, atol=1e-38)


@settings(deadline=None)
@given(_COLUMN, _COLUMN, st.integers(60, 300), st.integers(60, 300))
def test_of_both_they_are_those_of_the_weighted_union(
    considered: NDArray[np.float32], displayed: NDArray[np.float32], n_c: int, n_d: int
) -> None:
    both = [
        pane(considered, Population.CONSIDERED, n_c),
        pane(displayed, Population.DISPLAYED, n_d),
    ]
    # An example of one population is as good as so many of equal weight.
    union = np.concatenate([np.repeat(considered, n_d), np.repeat(displayed, n_c)])
    expected = np.quantile(union, LEVELS, method="inverted_cdf").astype(np.float32)
    found = signed_quantiles(both, 1)[0]
    np.testing.assert_allclose(found, rounded(expected), rtol=2**-7, atol=1e-38)
    assert found.tolist() == signed_quantiles(both[::-1], 1)[0].tolist()


def test_a_feature_without_entries_has_zeros() -> None:
    assert not signed_quantiles([pane(np.zeros(0, np.float32))], 1).any()


@settings(deadline=None)
@given(_VALUES)
def test_sixteen_bits_keep_a_value_within_a_256th(value: float) -> None:
    kept = rounded(np.array([value], dtype=np.float32))[0]
    assert kept == pytest.approx(value, rel=2**-8, abs=1e-38)
    assert np.isfinite(kept)
    assert np.signbit(kept) == (value < 0)
