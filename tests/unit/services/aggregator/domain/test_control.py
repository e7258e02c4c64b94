from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.aggregator.domain.block import Method
from services.aggregator.domain.calibration import calibrate
from services.aggregator.domain.control import Control, ControlSelection, choose_control
from services.aggregator.domain.errors import NoControl
from services.aggregator.domain.window import Interval, Window, WindowState
from tests.unit.services.aggregator.worlds import BAND, DIGEST, HOUR, MODEL, NOON

DAY = timedelta(days=1)
SAME_HOUR = ControlSelection.SAME_HOUR_PREVIOUS_DAY
PREVIOUS_HOUR = ControlSelection.PREVIOUS_HOUR
HEALTHY = calibrate(1000.0, 1000, BAND)
BROKEN = calibrate(2000.0, 1000, BAND)


def window(start: datetime) -> Window:
    return Window(
        model=MODEL,
        interval=Interval(start, start + HOUR),
        state=WindowState.CLOSED,
        digest=DIGEST,
        method=Method.PSEUDO_LOSS,
        considered_count=1000,
        displayed_count=1000,
        calibration=HEALTHY,
    )


ANOMALY = replace(window(NOON), calibration=BROKEN)
YESTERDAY, LAST_HOUR = window(NOON - DAY), window(NOON - HOUR)
USELESS = [
    replace(YESTERDAY, state=WindowState.OPEN),
    replace(YESTERDAY, digest="cd" * 32),
    replace(YESTERDAY, method=Method.RELATIVE),
    replace(YESTERDAY, considered_count=99, displayed_count=400),
    replace(YESTERDAY, calibration=BROKEN),
]


def choose(earlier: Sequence[Window], selection: ControlSelection = SAME_HOUR) -> Control:
    return choose_control(ANOMALY, earlier, selection, fewest_examples=500)


def test_the_window_asked_for_needs_no_note() -> None:
    for selection, wanted in ((SAME_HOUR, YESTERDAY), (PREVIOUS_HOUR, LAST_HOUR)):
        assert choose([YESTERDAY, LAST_HOUR], selection) == Control(wanted, selection, "")


def test_the_same_hour_of_the_week_before_gives_way_to_that_of_the_day() -> None:
    week = window(NOON - 7 * DAY)
    asked = ControlSelection.SAME_HOUR_PREVIOUS_WEEK
    assert choose([YESTERDAY, LAST_HOUR, week], asked) == Control(week, asked, "")
    assert choose([YESTERDAY, LAST_HOUR], asked).window == YESTERDAY


def test_an_unknown_calibration_does_not_speak_against_a_window() -> None:
    unknown = replace(YESTERDAY, calibration=None)
    assert choose([unknown]).window == unknown


@pytest.mark.parametrize("useless", USELESS)
def test_a_useless_window_gives_way_and_the_note_says_why(useless: Window) -> None:
    chosen = choose([useless, LAST_HOUR])
    assert chosen.window == LAST_HOUR
    assert chosen.selection is SAME_HOUR
    assert chosen.note.startswith(useless.name)
    assert LAST_HOUR.name in chosen.note


def test_a_missing_window_gives_way_to_the_other_selection() -> None:
    chosen = choose([YESTERDAY], PREVIOUS_HOUR)
    assert chosen.window == YESTERDAY
    assert "is not there" in chosen.note


def test_then_come_the_same_hour_of_days_before_and_then_the_newest() -> None:
    broken = [replace(w, calibration=BROKEN) for w in (YESTERDAY, LAST_HOUR)]
    others = [window(NOON - 2 * HOUR), window(NOON - 3 * HOUR)]
    two_days = window(NOON - 2 * DAY)
    assert choose([*broken, *others, two_days]).window == two_days
    assert choose([*broken, *others]).window == others[0]


@pytest.mark.parametrize("earlier", [[], USELESS[:1], [window(NOON + HOUR)]])
def test_without_a_usable_window_there_is_no_control(earlier: list[Window]) -> None:
    with pytest.raises(NoControl, match=ANOMALY.name):
        choose(earlier)
