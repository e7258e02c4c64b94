from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.errors import AheadOfTime, InvalidOutcomes, WindowNotFound
from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.window import Interval, parse_window_name, window_name
from tests.unit.services.aggregator.worlds import HOUR, NOON, RULES

SECOND = timedelta(seconds=1)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def test_a_window_is_named_by_its_start() -> None:
    assert window_name("ads_ctr", NOON) == "models/ads_ctr/windows/20261120T120000Z"


@given(TIMES)
def test_names_are_read_back(time: datetime) -> None:
    start = RULES.containing(time).start
    assert parse_window_name(window_name("a.b-c", start)) == ("a.b-c", start)


@given(TIMES)
def test_every_time_lies_in_one_aligned_window(time: datetime) -> None:
    window = RULES.containing(time)
    assert window.start <= time < window.end
    assert window.end - window.start == HOUR
    assert (window.start.minute, window.start.second, window.start.microsecond) == (0, 0, 0)


@pytest.mark.parametrize("name", ["models/m/windows/x", "models/m", "", "models/m/windows/2026Z"])
def test_other_names_are_of_no_window(name: str) -> None:
    with pytest.raises(WindowNotFound):
        parse_window_name(name)


def test_a_stretch_lies_within_one_window() -> None:
    hour = Interval(NOON, NOON + HOUR)
    assert RULES.covering(hour) == hour
    assert RULES.covering(Interval(NOON + SECOND, NOON + 2 * SECOND)) == hour


@pytest.mark.parametrize(
    "stretch",
    [
        Interval(NOON, NOON + HOUR + SECOND),
        Interval(NOON - SECOND, NOON + SECOND),
        Interval(NOON, NOON),
    ],
)
def test_other_stretches_are_refused(stretch: Interval) -> None:
    with pytest.raises(InvalidOutcomes) as caught:
        RULES.covering(stretch)
    assert caught.value.field == "end_time"


def test_a_window_is_past_once_the_watermark_reaches_its_end_and_the_lateness() -> None:
    assert not RULES.is_past(NOON, None)
    assert not RULES.is_past(NOON, NOON - SECOND)
    assert RULES.is_past(NOON, NOON)


def test_times_too_far_ahead_are_refused() -> None:
    RULES.check_not_ahead(NOON + timedelta(days=1), NOON, "event_time")
    with pytest.raises(AheadOfTime) as caught:
        RULES.check_not_ahead(NOON + timedelta(days=1, seconds=1), NOON, "event_time")
    assert caught.value.field == "event_time"


@pytest.mark.parametrize(("expected", "observed"), [(1e300, 1), (1.0, 2**63)])
def test_counts_beyond_counting_are_refused(expected: float, observed: int) -> None:
    with pytest.raises(InvalidOutcomes):
        OutcomeReport("m", "r", Interval(NOON, NOON + HOUR), expected, observed)
