"""Later windows decide: effective, taken back, or nobody knows."""

from datetime import timedelta

import pytest

from services.runbook.domain.errors import ImportancesUnavailable
from services.runbook.domain.mitigation import MitigationState
from tests.unit.services.runbook.builders import (
    BROKEN,
    EVENT_TIME,
    EXPERT,
    HEALTHY,
    Runbook,
    event,
    rules,
)


@pytest.fixture
async def runbook() -> Runbook:
    """In force since event time 02:00."""
    started = Runbook()
    await started.see(event(1, BROKEN))
    await started.say_yes()
    await started.worker.drain()
    return started


async def test_two_good_windows_close_the_incident(runbook: Runbook) -> None:
    await runbook.see(event(2, HEALTHY))
    assert (await runbook.mitigation()).state is MitigationState.VERIFYING
    await runbook.see(event(3, 1.02))
    incident = await runbook.incident()
    mitigation = incident.mitigations[0]
    assert mitigation.state is MitigationState.EFFECTIVE
    assert mitigation.verified_calibration == 1.02
    assert "as previewed" in mitigation.reason
    assert not incident.is_open
    assert await runbook.actuator.observe(mitigation.plan) == {"user_embedding": "killed"}


async def test_what_does_not_help_is_taken_back_and_a_person_is_asked(runbook: Runbook) -> None:
    await runbook.see(event(2, BROKEN), event(3, BROKEN))
    incident = await runbook.incident()
    mitigation = incident.mitigations[0]
    assert mitigation.state is MitigationState.REVERTED
    assert mitigation.verified_calibration == BROKEN
    assert incident.is_open
    assert "ads_ctr needs a person" in incident.advice
    assert await runbook.actuator.observe(mitigation.plan) == {"user_embedding": "served"}


async def test_it_is_not_proposed_again_after_that(runbook: Runbook) -> None:
    await runbook.see(event(2, BROKEN), event(3, BROKEN), event(4, BROKEN))
    assert len((await runbook.incident()).mitigations) == 1
    assert "was reverted before" in (await runbook.incident()).advice


async def test_no_window_is_no_success(runbook: Runbook) -> None:
    runbook.clock.advance(hours=3.9)
    await runbook.worker.drain()
    assert "2 windows that start at 1998-03-14 02:00 or later" in (await runbook.incident()).advice
    runbook.clock.advance(hours=0.1)
    await runbook.worker.drain()
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.APPLIED
    assert "No window with outcomes in 4 h: nobody knows" in (await runbook.incident()).advice


async def test_a_culprit_that_still_matters_is_no_success(runbook: Runbook) -> None:
    runbook.importances.gfis["user_embedding"] = 0.5
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    incident = await runbook.incident()
    assert incident.mitigations[0].state is MitigationState.VERIFYING
    assert "user_embedding still matters although switched off" in incident.advice
    runbook.importances.gfis.clear()
    await runbook.see(event(4, HEALTHY))
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.EFFECTIVE
    assert "GFI user_embedding 0," in mitigation.reason


async def test_an_aggregator_that_does_not_answer_is_asked_again(runbook: Runbook) -> None:
    runbook.importances.failures.append(ImportancesUnavailable("the aggregator says UNAVAILABLE"))
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    assert (await runbook.mitigation()).state is MitigationState.VERIFYING
    runbook.clock.advance(seconds=1)
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.EFFECTIVE


async def test_a_window_whose_importances_nobody_knows_is_judged_by_its_calibration(
    runbook: Runbook,
) -> None:
    runbook.importances.missing = True
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.EFFECTIVE
    assert "importances unknown" in mitigation.reason


async def test_windows_without_enough_events_never_verify_and_a_person_is_asked(
    runbook: Runbook,
) -> None:
    await runbook.see(*(event(hour, 1.0, observed=20) for hour in range(2, 8)))
    incident = await runbook.incident()
    assert incident.mitigations[0].state is MitigationState.VERIFYING
    assert "6 windows do not tell" in incident.advice
    await runbook.see(event(8, HEALTHY), event(9, HEALTHY))
    assert (await runbook.mitigation()).state is MitigationState.EFFECTIVE


@pytest.mark.parametrize("minutes", [0, 40])
async def test_a_window_that_began_before_the_mitigation_says_nothing(minutes: int) -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    # Examples of 02:00 or 02:40 were scored before the switch: that hour is half and half.
    newest_example = EVENT_TIME + timedelta(hours=2, minutes=minutes)
    runbook.watermarks.times["models/ads_ctr"] = newest_example
    await runbook.say_yes()
    await runbook.worker.drain()
    await runbook.see(event(2, 1.2))
    assert (await runbook.mitigation()).state is MitigationState.APPLIED
    await runbook.see(event(3, HEALTHY), event(4, HEALTHY))
    assert (await runbook.mitigation()).state is MitigationState.EFFECTIVE


async def test_windows_seen_before_the_answer_do_not_count() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN), event(2, BROKEN), event(3, BROKEN))
    await runbook.say_yes()
    await runbook.worker.drain()
    assert (await runbook.mitigation()).applied_after == EVENT_TIME + timedelta(hours=4)
    await runbook.see(event(4, HEALTHY), event(5, HEALTHY))
    assert (await runbook.mitigation()).state is MitigationState.EFFECTIVE


async def test_one_window_is_enough_where_the_rules_say_so(runbook: Runbook) -> None:
    runbook.rules.rules = rules(windows=1)
    await runbook.see(event(2, HEALTHY))
    states = [step.after for step in (await runbook.mitigation()).history]
    assert states[-2:] == [MitigationState.VERIFYING, MitigationState.EFFECTIVE]


async def test_an_effective_mitigation_can_be_taken_back_later(runbook: Runbook) -> None:
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    await runbook.take_back(EXPERT)
    await runbook.worker.drain()
    incident = await runbook.incident()
    assert incident.mitigations[0].state is MitigationState.REVERTED
    assert not incident.is_open
    assert incident.advice == ""
