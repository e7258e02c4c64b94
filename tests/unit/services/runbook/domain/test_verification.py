"""Only later windows say whether it helped, and silence is no yes."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runbook.domain.evidence import Window
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.verification import (
    Judgement,
    as_previewed,
    broken_calibration,
    judge,
    verify,
)
from tests.unit.services.runbook.builders import BROKEN, EVENT_TIME, calibration, window

BROKEN_CALIBRATION = calibration(BROKEN)
GOOD, BAD, VAGUE = (1.02, 1500), (1.31, 1500), (1.02, 40)


def hours(*kinds: tuple[float, int]) -> list[Window]:
    return [window(hour, ratio, observed=count) for hour, (ratio, count) in enumerate(kinds)]


def judgement(windows: Sequence[Window], *, after: float = 0, needed: int = 2) -> Judgement:
    applied_after = EVENT_TIME + timedelta(hours=after)
    return verify(
        windows, applied_after=applied_after, broken=BROKEN_CALIBRATION, needed=needed
    ).judgement


@pytest.mark.parametrize(
    ("ratio", "observed", "expected"),
    [
        (1.0, 1500, Judgement.EFFECTIVE),
        (0.95, 1500, Judgement.EFFECTIVE),
        (1.31, 1500, Judgement.NOT_EFFECTIVE),
        (2.0, 1500, Judgement.NOT_EFFECTIVE),
        (0.7, 1500, Judgement.NOT_EFFECTIVE),
        # Too few events to tell healthy from broken.
        (1.0, 40, Judgement.INCONCLUSIVE),
        (1.0, 1, Judgement.INCONCLUSIVE),
        # Neither clearly unhealthy nor clearly better.
        (1.15, 1500, Judgement.INCONCLUSIVE),
    ],
)
def test_one_window(ratio: float, observed: int, expected: Judgement) -> None:
    assert judge(calibration(ratio, observed=observed), BROKEN_CALIBRATION) is expected


@pytest.mark.parametrize("ratio", [math.nan, math.inf, 0.0])
def test_no_data_is_no_success(ratio: float) -> None:
    nothing = replace(calibration(1.0), ratio=ratio, observed=0, anomalous=False)
    assert judge(nothing, BROKEN_CALIBRATION) is Judgement.INCONCLUSIVE


def test_under_prediction_is_judged_alike() -> None:
    broken = calibration(0.7)
    assert judge(calibration(1.0), broken) is Judgement.EFFECTIVE
    assert judge(calibration(0.7), broken) is Judgement.NOT_EFFECTIVE


def test_as_many_windows_as_needed_must_agree() -> None:
    assert judgement(hours(GOOD)) is Judgement.INCONCLUSIVE
    assert judgement(hours(GOOD, GOOD)) is Judgement.EFFECTIVE
    assert judgement(hours(BAD, BAD)) is Judgement.NOT_EFFECTIVE
    assert judgement(hours(GOOD, BAD)) is Judgement.INCONCLUSIVE
    assert judgement(hours(GOOD, BAD, GOOD, GOOD)) is Judgement.EFFECTIVE
    assert judgement(hours(GOOD, VAGUE, GOOD)) is Judgement.INCONCLUSIVE
    assert judgement(hours(GOOD), needed=1) is Judgement.EFFECTIVE


def test_windows_that_may_hold_examples_from_before_say_nothing() -> None:
    windows = hours(BAD, BAD, GOOD, GOOD)
    assert judgement(windows, after=2) is Judgement.EFFECTIVE
    # Applied in the middle of hour 1: that window straddles.
    assert judgement(windows, after=1.5) is Judgement.EFFECTIVE
    assert judgement(windows, after=2.01) is Judgement.INCONCLUSIVE
    assert judgement(windows, after=4) is Judgement.INCONCLUSIVE


def test_the_order_of_arrival_is_no_matter() -> None:
    windows = hours(BAD, GOOD, GOOD)
    assert judgement(windows[::-1]) is judgement(windows) is Judgement.EFFECTIVE


def test_the_first_agreement_decides() -> None:
    verification = verify(
        hours(GOOD, GOOD, BAD, BAD),
        applied_after=EVENT_TIME,
        broken=BROKEN_CALIBRATION,
        needed=2,
    )
    assert verification.judgement is Judgement.EFFECTIVE
    assert verification.windows[-1].start_time == EVENT_TIME + timedelta(hours=1)


@given(st.lists(st.sampled_from([GOOD, BAD, VAGUE]), max_size=8), st.integers(1, 4))
def test_success_takes_that_many_good_windows(kinds: list[tuple[float, int]], needed: int) -> None:
    if judgement(hours(*kinds), needed=needed) is Judgement.EFFECTIVE:
        assert kinds.count(GOOD) >= needed


def test_broken_is_the_newest_anomaly_before_the_mitigation() -> None:
    windows = hours((1.2, 1500), (1.4, 1500), (1.0, 1500), (1.6, 1500))
    assert broken_calibration(windows, EVENT_TIME + timedelta(hours=2)) == windows[1].calibration
    assert broken_calibration(windows, None) == windows[3].calibration
    assert broken_calibration(windows, EVENT_TIME) is None


def test_words_for_the_preview() -> None:
    realised = calibration(1.02)
    assert as_previewed(realised, Preview(1.0, 0.97, 1.03, 10)) == (
        "as previewed, 1.00 (0.97 to 1.03)"
    )
    assert as_previewed(realised, Preview(0.7, 0.6, 0.8, 10)).startswith("not as previewed")
    assert as_previewed(realised, MissingPreview("off")) == "there was no preview"
