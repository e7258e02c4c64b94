"""Sixteen bits a value: how far off they are, and what they never do."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.adapters.packed_panes import (
    MOST_RELATIVE_ERROR,
    pack_pane,
    unpack_pane,
)
from services.aggregator.adapters.packing import seal, unseal
from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.fold import fold
from services.aggregator.domain.gfi import gather, importances
from services.aggregator.domain.sketch import Ragged
from tests.unit.services.aggregator.values import numeric_sketch
from tests.unit.services.aggregator.worlds import block, lfis

PANE = block(lfis(1), population=Population.DISPLAYED).pane
ANYTHING_BUT_ZERO = st.floats(width=32, allow_nan=False, allow_infinity=False).filter(bool)
SIXTY_DECADES = st.builds(
    lambda exponent, sign: float(np.float32(sign * 10**exponent)),
    st.floats(-30, 30),
    st.sampled_from((-1, 1)),
)
COLUMNS = st.lists(
    st.lists(st.one_of(SIXTY_DECADES, ANYTHING_BUT_ZERO, st.just(0.25)), max_size=12),
    min_size=1,
    max_size=4,
)


def pane_of(columns: Sequence[Sequence[float]]) -> Pane:
    offsets = np.cumsum([0, *map(len, columns)]).astype(np.uint32)
    values = np.array([value for column in columns for value in column], dtype=np.float32)
    return Pane(Population.CONSIDERED, 12, offsets, values)


def kept(pane: Pane) -> Pane:
    return unpack_pane(pack_pane(pane), "pane")


@given(COLUMNS)
def test_no_value_is_off_by_more_than_a_2048th_or_becomes_zero(
    columns: Sequence[Sequence[float]],
) -> None:
    pane = pane_of(columns)
    found = kept(pane)
    assert np.array_equal(found.offsets, pane.offsets)
    assert found.values.dtype == np.float32
    assert found.values.all()
    assert np.isfinite(found.values).all()
    assert np.array_equal(np.signbit(found.values), np.signbit(pane.values))
    exact = pane.values.astype(np.float64)
    assert np.all(np.abs(found.values - exact) <= MOST_RELATIVE_ERROR * np.abs(exact))


@given(COLUMNS)
def test_coverage_is_exact_and_importance_within_a_thousandth(
    columns: Sequence[Sequence[float]],
) -> None:
    pane = pane_of(columns)
    gfi, coverage = importances(gather([pane], pane.feature_count))
    kept_gfi, kept_coverage = importances(gather([kept(pane)], pane.feature_count))
    assert kept_coverage.tolist() == coverage.tolist()
    assert np.all(np.abs(kept_gfi - gfi) <= 1e-3 * gfi)


def test_what_was_read_back_once_is_read_back_the_same_again() -> None:
    once = kept(PANE)
    assert (once.population, once.example_count) == (PANE.population, PANE.example_count)
    assert np.array_equal(kept(once).values, once.values)


@pytest.mark.parametrize("extreme", [3.4028235e38, 1.1754944e-38, 1e-45, -1e-45])
def test_the_ends_of_float32_are_kept(extreme: float) -> None:
    [value] = kept(pane_of([[extreme]])).values
    assert value == pytest.approx(extreme, rel=MOST_RELATIVE_ERROR)


def test_a_pane_takes_two_bytes_an_entry_and_five_a_feature() -> None:
    assert len(pack_pane(PANE)) <= 2 * len(PANE.values) + 5 * PANE.feature_count + 32


def test_another_format_is_not_read() -> None:
    payload = unseal(pack_pane(PANE), "pane")
    with pytest.raises(CorruptValue):
        unpack_pane(seal(b"\1" + payload[1:]), "pane")


def test_the_sketch_of_the_values_is_kept_whole() -> None:
    rng = np.random.default_rng(3)
    values = (rng.normal(0, 5, (1000, 3)) * (rng.random((1000, 3)) < 0.5)).astype(np.float32)
    ids = Ragged(
        np.array([0, 2, 2], np.uint32),
        np.array([-(2**63), 2**63 - 1], np.int64),
        np.array([3, 70_000], np.uint32),
    )
    predictions = rng.random(1000).astype(np.float32)
    sketch = replace(numeric_sketch(values, predictions), hitters=ids)
    found = kept(replace(PANE, sketch=sketch)).sketch
    assert found is not None
    for name in ("buckets", "hitters"):
        given, read = getattr(sketch, name), getattr(found, name)
        for part in ("offsets", "keys", "counts"):
            assert getattr(read, part).dtype == getattr(given, part).dtype
            assert np.array_equal(getattr(read, part), getattr(given, part))
    assert np.array_equal(found.baseline_counts, sketch.baseline_counts)
    assert np.array_equal(found.moments, sketch.moments)
    assert found.prediction_mean == sketch.prediction_mean
    assert found.prediction_squares == sketch.prediction_squares
    assert kept(PANE).sketch is None


@pytest.mark.parametrize("has_sketch", [True, False])
def test_folded_panes_are_kept_exactly(has_sketch: bool) -> None:
    values = np.random.default_rng(3).normal(0, 5, (1000, 3)).astype(np.float32)
    sketch = numeric_sketch(values, np.full(1000, 0.5, np.float32)) if has_sketch else None
    (folded,) = fold([replace(PANE, sketch=sketch), replace(PANE, sketch=sketch)])
    found = kept(folded)
    assert found.counts is not None
    assert folded.counts is not None
    assert found.counts.tolist() == folded.counts.tolist()
    assert found.values.tolist() == folded.values.tolist()
    assert (found.sketch is not None) == has_sketch
