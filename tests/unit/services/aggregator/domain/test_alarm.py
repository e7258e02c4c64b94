from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from services.aggregator.domain.alarm import FEWEST_CHANGES, EvidenceAlarm
from services.aggregator.domain.control import Control
from services.aggregator.domain.diagnosis import History, diagnose
from services.aggregator.domain.portrait import Frame
from services.aggregator.domain.shift import Comparison, RankBy
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Interval, Window, WindowState
from tests.unit.services.aggregator.domain.windows_of import wandering
from tests.unit.services.aggregator.worlds import DIGEST, MODEL, NOON


def compared(chance: float | None, hours: int = 1) -> Comparison:
    interval = Interval(NOON, NOON + timedelta(hours=hours))
    window = Window(MODEL, interval, WindowState.CLOSED, DIGEST, None, 500, 500, None)
    return Comparison(
        control=Control(window, None, ""),
        anomaly=window,
        verdict=Verdict.FEATURE_CORRUPTION,
        feature_count=1,
        significant_count=1,
        shifts=[],
        history_count=FEWEST_CHANGES,
        rank_by=RankBy.EVIDENCE,
        chance=chance,
    )


@pytest.mark.parametrize(
    ("chance", "hours", "a_week", "raised"),
    [
        (1 / 169, 1, 1.0, True),
        (1 / 167, 1, 1.0, False),
        (1 / 13, 12, 1.0, False),
        (1 / 15, 12, 1.0, True),
        (1 / 167, 1, 2.0, True),
        (0.0, 1, 0.0, True),
        (None, 1, 100.0, False),
    ],
)
def test_an_alarm_is_as_rare_as_was_asked_for(
    chance: float | None, hours: int, a_week: float, raised: bool
) -> None:
    assert EvidenceAlarm(a_week)(compared(chance, hours)) is raised


def test_clean_weeks_raise_about_as_many_alarms_as_was_asked_for() -> None:
    """Two weeks of hours, each by its own model after 60 clean hours; 1 a week is asked for."""
    world, hours = wandering(20), FEWEST_CHANGES + 12
    alarms = 0
    for week in range(2):
        summaries = [world.summary(10_000 * week + n) for n in range(hours + 168)]
        pairs = [(n, n - 1) for n in range(1, hours)]
        phases = np.zeros(hours + 1, dtype=np.intp)
        past = History.of(Frame.of(world.schema), summaries[:hours], pairs, phases)
        for before, after in pairwise(summaries[hours - 1 :]):
            chance = diagnose(world.schema, before, after, past).chance
            alarms += EvidenceAlarm(1.0)(compared(chance))
    # Of a Poisson distribution with mean 2, 5 in 1,000 are above 6.
    assert alarms <= 6


def test_a_short_past_raises_none() -> None:
    comparison = replace(compared(1e-9), history_count=FEWEST_CHANGES - 1)
    assert not EvidenceAlarm(1.0)(comparison)


def test_nothing_is_raised_that_the_verdict_does_not_bear_out() -> None:
    comparison = replace(compared(1e-9), verdict=Verdict.NO_FEATURE_EXPLAINS)
    assert not EvidenceAlarm(1.0)(comparison)


def test_no_alarms_can_be_asked_for() -> None:
    assert not EvidenceAlarm(0.0).is_on
    assert EvidenceAlarm(0.5).is_on
