from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.domain.portrait import average, averages_of_others, portraits
from services.aggregator.domain.signals import (
    SIGNALS,
    Signal,
    changes,
    of,
    shift_of_magnitudes,
)
from services.aggregator.domain.summary import summarise
from tests.unit.services.aggregator.domain.windows_of import wandering, with_values
from tests.unit.services.aggregator.worlds import block, lfis

WORLD = wandering(4)
FEATURES = WORLD.schema


def test_a_window_does_not_differ_from_itself() -> None:
    frame, rows = portraits(FEATURES, [WORLD.summary(1), WORLD.summary(2)])
    assert not changes(frame, rows[0], rows[0]).any()
    assert changes(frame, rows[0], rows[1]).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_distances_are_symmetric_and_known(one: int, other: int) -> None:
    frame, rows = portraits(FEATURES, [WORLD.summary(one), WORLD.summary(other)])
    there = changes(frame, rows[0], rows[1])
    assert np.array_equal(there, changes(frame, rows[1], rows[0]))
    assert (there >= 0).all()
    assert (of(there, Signal.VALUE_DISTANCE) <= 1).all()


def test_the_lfi_distance_is_wassersteins_with_the_zeros() -> None:
    dense = [lfis(1, 4000, (1.0, 0.5), coverage=0.8), lfis(2, 4000, (1.5, 0.5), coverage=0.4)]
    summaries = [summarise([block(d).pane], 2, "w", resamples=2) for d in dense]
    frame, rows = portraits(FEATURES[:2], summaries)
    exact = np.abs(np.sort(dense[0], axis=0) - np.sort(dense[1], axis=0)).mean(axis=0)
    found = of(changes(frame, rows[0], rows[1]), Signal.LFI_DISTANCE)
    assert found == pytest.approx(exact, rel=0.1)


def test_the_value_distance_counts_the_baseline_as_a_value() -> None:
    summary = WORLD.summary(1)
    usual = np.full((4, 100), 2.0)
    half_gone, gone, other = usual.copy(), usual.copy(), usual.copy()
    half_gone[0, :50], gone[0], other[0] = 0.0, 0.0, 64.0
    cases = [with_values(summary, values) for values in (usual, half_gone, gone, other)]
    frame, rows = portraits(FEATURES, cases)
    distances = [of(changes(frame, rows[0], row), Signal.VALUE_DISTANCE)[0] for row in rows]
    # Of (1, 0) and (1/2, 1/2): the middle is (3/4, 1/4).
    divergence = (np.log2(1 / 0.75) + (0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(2))) / 2
    assert distances == pytest.approx([0, np.sqrt(divergence), 1, 1], abs=1e-3)


def test_what_a_summary_does_not_hold_is_not_known() -> None:
    full = WORLD.summary(1)
    bare = replace(full, profile=None, quantiles=None)
    frame, rows = portraits(FEATURES, [full, bare])
    found = changes(frame, rows[0], rows[1])
    known = {signal for signal in SIGNALS if not np.isnan(of(found, signal)).any()}
    assert known == {Signal.GFI_SHIFT, Signal.COVERAGE_CHANGE}


def test_the_papers_correlation_has_no_sign() -> None:
    frame, rows = portraits(FEATURES, [WORLD.summary(1), WORLD.summary(2)])
    rows[1][frame.correlations] = -rows[0][frame.correlations]
    assert shift_of_magnitudes(frame, rows[0], rows[1]) == pytest.approx(np.zeros(4))
    assert of(changes(frame, rows[0], rows[1]), Signal.MFC_SHIFT).all()


def test_a_feature_that_never_changes_goes_along_with_nothing() -> None:
    values = np.random.default_rng(5).normal(2.0, 1.0, (4, 500))
    gone = values.copy()
    gone[0] = 0.0
    cases = [with_values(WORLD.summary(1), each) for each in (values, gone, gone)]
    frame, rows = portraits(FEATURES, cases)
    usual = abs(rows[0][frame.correlations][0])
    assert usual > 0
    assert shift_of_magnitudes(frame, rows[0], rows[1])[0] == pytest.approx(usual)
    assert of(changes(frame, rows[0], rows[1]), Signal.MFC_SHIFT)[0] == pytest.approx(usual)
    assert of(changes(frame, rows[1], rows[2]), Signal.MFC_SHIFT)[0] == 0.0


def test_the_mean_of_others_leaves_one_out() -> None:
    summaries = [WORLD.summary(seed) for seed in range(4)]
    summaries[2] = replace(summaries[2], profile=None)
    _, rows = portraits(FEATURES, summaries)
    for place, mean in enumerate(averages_of_others(rows)):
        others = average(np.delete(rows, place, axis=0))
        np.testing.assert_allclose(mean, others, rtol=1e-4, atol=1e-6)
