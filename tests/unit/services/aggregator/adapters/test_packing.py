from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.adapters.packing import (
    pack_summary,
    seal,
    unpack_summary,
    unseal,
)
from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.quantiles import rounded
from services.aggregator.domain.summary import Summary, summarise
from tests.unit.services.aggregator.values import numeric_sketch
from tests.unit.services.aggregator.worlds import block, lfis

SUMMARY = Summary(3, 4, np.array([0.1, 2.0]), np.array([0.5, 1.0]), np.array([1e-9, 0.0]))


def test_a_summary_is_read_back() -> None:
    kept = unpack_summary(pack_summary(SUMMARY), "summary")
    assert (kept.considered_count, kept.displayed_count) == (3, 4)
    for name in ("gfi", "coverage", "standard_error"):
        assert np.array_equal(getattr(kept, name), getattr(SUMMARY, name))
    assert kept.quantiles is None


def test_quantiles_are_read_back_to_the_last_of_their_bits() -> None:
    quantiles = rounded(np.random.default_rng(1).normal(size=(2, 33)).astype(np.float32))
    kept = unpack_summary(pack_summary(replace(SUMMARY, quantiles=quantiles)), "summary")
    assert kept.gfi.tolist() == SUMMARY.gfi.tolist()
    assert kept.quantiles is not None
    assert np.array_equal(kept.quantiles, quantiles)


def test_a_profile_is_read_back() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(500, 2)).astype(np.float32)
    pane = replace(block(lfis(1)).pane, sketch=numeric_sketch(values, values[:, 0]))
    summary = summarise([pane], 3, "window", resamples=2)
    found = unpack_summary(pack_summary(summary), "summary").profile
    assert summary.profile is not None
    assert found is not None
    assert found.example_count == summary.profile.example_count
    for part in ("offsets", "keys", "counts"):
        assert np.array_equal(getattr(found.buckets, part), getattr(summary.profile.buckets, part))
    assert found.hitters.row_count == 0
    assert np.array_equal(found.baseline_rate, summary.profile.baseline_rate)
    assert np.array_equal(found.correlations, summary.profile.correlations)


@given(st.binary(max_size=64), st.data())
def test_any_change_of_a_value_is_noticed(payload: bytes, data: st.DataObject) -> None:
    value = seal(payload)
    assert unseal(value, "value") == payload
    place = data.draw(st.integers(0, len(value) - 1))
    changed = bytearray(value)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptValue, match="value is damaged"):
        unseal(bytes(changed), "value")


@pytest.mark.parametrize("length", [0, 3, 10])
def test_a_value_that_was_cut_is_noticed(length: int) -> None:
    with pytest.raises(CorruptValue):
        unseal(seal(b"a payload")[:length], "value")


def test_a_summary_of_nothing_is_read_back() -> None:
    nothing = summarise([], 0, "window", resamples=2)
    found = unpack_summary(pack_summary(nothing), "summary")
    assert (found.example_count, len(found.gfi)) == (0, 0)
    assert found.quantiles is not None
    assert found.quantiles.shape == (0, 33)
