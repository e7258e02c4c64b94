from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.domain.gallery import Gallery
from services.aggregator.domain.portrait import Frame, portrait_of
from services.aggregator.domain.signals import (
    SIGNALS,
    Signal,
    of,
    shift_of_magnitudes,
)
from services.aggregator.domain.summary import Summary, summarise
from tests.unit.services.aggregator.domain.windows_of import wandering, with_values
from tests.unit.services.aggregator.worlds import block, lfis

WORLD = wandering(4)
FRAME = Frame.of(WORLD.schema)


def hung(summaries: Sequence[Summary], frame: Frame = FRAME) -> Gallery:
    return Gallery.of(frame, [portrait_of(frame, summary) for summary in summaries])


def test_a_window_does_not_differ_from_itself() -> None:
    gallery = hung([WORLD.summary(1), WORLD.summary(2)])
    assert not gallery.changes(0, 0).any()
    assert gallery.changes(0, 1).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_distances_are_symmetric_and_known(one: int, other: int) -> None:
    gallery = hung([WORLD.summary(one), WORLD.summary(other)])
    there = gallery.changes(0, 1)
    np.testing.assert_allclose(there, gallery.changes(1, 0), rtol=1e-6)
    assert (there >= 0).all()
    assert (of(there, Signal.VALUE_DISTANCE) <= 1 + 1e-6).all()


def test_the_lfi_distance_is_wassersteins_with_the_zeros() -> None:
    dense = [lfis(1, 4000, (1.0, 0.5), coverage=0.8), lfis(2, 4000, (1.5, 0.5), coverage=0.4)]
    summaries = [summarise([block(d).pane], 2, "w", resamples=2) for d in dense]
    exact = np.abs(np.sort(dense[0], axis=0) - np.sort(dense[1], axis=0)).mean(axis=0)
    changes = hung(summaries, Frame.of(WORLD.schema[:2])).changes(0, 1)
    assert of(changes, Signal.LFI_DISTANCE) == pytest.approx(exact, rel=0.1)


def test_the_value_distance_counts_the_baseline_as_a_value() -> None:
    summary = WORLD.summary(1)
    usual = np.full((4, 100), 2.0)
    half_gone, gone, other = usual.copy(), usual.copy(), usual.copy()
    half_gone[0, :50], gone[0], other[0] = 0.0, 0.0, 64.0
    gallery = hung([with_values(summary, values) for values in (usual, half_gone, gone, other)])
    distances = [of(gallery.changes(0, n), Signal.VALUE_DISTANCE)[0] for n in range(4)]
    # Of (1, 0) and (1/2, 1/2): the middle is (3/4, 1/4).
    divergence = (np.log2(1 / 0.75) + (0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(2))) / 2
    assert distances == pytest.approx([0, np.sqrt(divergence), 1, 1], abs=1e-3)


def test_what_a_summary_does_not_hold_is_not_known() -> None:
    full = WORLD.summary(1)
    found = hung([full, replace(full, profile=None, quantiles=None)]).changes(0, 1)
    known = {signal for signal in SIGNALS if not np.isnan(of(found, signal)).any()}
    assert known == {Signal.GFI_SHIFT, Signal.COVERAGE_CHANGE}


def test_the_papers_correlation_has_no_sign() -> None:
    one, other = (portrait_of(FRAME, WORLD.summary(seed)) for seed in (1, 2))
    mirrored = replace(other, correlations=-one.correlations)
    assert shift_of_magnitudes(FRAME, one, mirrored) == pytest.approx(np.zeros(4))
    changes = Gallery.of(FRAME, [one, mirrored]).changes(0, 1)
    assert of(changes, Signal.MFC_SHIFT).all()


def test_a_feature_that_never_changes_goes_along_with_nothing() -> None:
    values = np.random.default_rng(5).normal(2.0, 1.0, (4, 500))
    gone = values.copy()
    gone[0] = 0.0
    gallery = hung([with_values(WORLD.summary(1), each) for each in (values, gone, gone)])
    usual = abs(gallery.portraits[0].correlations[0])
    assert usual > 0
    assert shift_of_magnitudes(FRAME, *gallery.portraits[:2])[0] == pytest.approx(usual)
    assert of(gallery.changes(0, 1), Signal.MFC_SHIFT)[0] == pytest.approx(usual)
    assert of(gallery.changes(1, 2), Signal.MFC_SHIFT)[0] == 0.0
