"""Ranks come out of bins to a 64th, and what no bin holds to nothing at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.attribution.domain.magnitudes import Magnitudes

ORDINARY = st.floats(2**-30, 2**9, width=32)
COLUMN = st.lists(ORDINARY | ORDINARY.map(lambda v: -v), max_size=40)


def filled(columns: list[list[float]]) -> Magnitudes:
    magnitudes = Magnitudes(len(columns))
    for half in (0, 1):
        parts = [np.array(c[half::2], dtype=np.float32) for c in columns]
        offsets = np.cumsum([0, *map(len, parts)]).astype(np.uint32)
        magnitudes.add(offsets, np.concatenate(parts))
    return magnitudes


@settings(deadline=None)
@given(st.lists(COLUMN, min_size=1, max_size=4))
def test_edges_enclose_each_rank(columns: list[list[float]]) -> None:
    magnitudes = filled(columns)
    assert magnitudes.counts.tolist() == [len(c) for c in columns]
    for j, column in enumerate(columns):
        for rank, value in enumerate(sorted(map(abs, column)), start=1):
            lower, upper = magnitudes.around(np.array([j]), np.array([rank]))
            assert lower[0] <= np.float32(value) <= upper[0]
            assert value <= 2**-29 or upper[0] / lower[0] <= 1 + 1 / 64


@settings(deadline=None)
@given(st.lists(COLUMN, min_size=1, max_size=4))
def test_medians_are_numpys_to_half_a_bin(columns: list[list[float]]) -> None:
    medians = filled(columns).medians(np.arange(len(columns)))
    for column, median in zip(columns, medians, strict=True):
        expected = np.median(np.abs(np.array(column, dtype=np.float32))) if column else 0.0
        assert median == pytest.approx(expected, rel=1 / 64, abs=2**-30)


def test_a_rank_that_does_not_exist_bounds_nothing() -> None:
    lower, upper = filled([[1.0, 2.0]]).around(np.array([0, 0]), np.array([0, 3]))
    assert (lower.tolist(), upper.tolist()) == ([0.0, 0.0], [np.inf, np.inf])


def test_the_outermost_bins_are_open() -> None:
    tiny, huge = 1e-38, 3e38
    lower, upper = filled([[tiny, huge]]).around(np.array([0, 0]), np.array([1, 2]))
    assert (lower[0], upper[1]) == (0.0, np.inf)
    assert lower[1] < huge
