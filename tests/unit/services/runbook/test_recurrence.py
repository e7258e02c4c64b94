"""Known trouble is not reported as new: deduplicated, opened again, merged."""

from dataclasses import replace

from services.runbook.domain.approval import Answer
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.incident import IncidentState
from services.runbook.domain.mitigation import MitigationState
from tests.unit.services.runbook.builders import (
    BROKEN,
    EXPERT,
    HEALTHY,
    Runbook,
    event,
    shift,
)

OTHER = [shift("another", 1, 1.0)]
OPENED, CLOSED = IncidentState.OPEN, IncidentState.CLOSED


async def healed(*hours: int) -> Runbook:
    """Broken at hour 1, healthy in the two after it; nobody did anything."""
    runbook = Runbook()
    await runbook.see(event(1, BROKEN), event(2, HEALTHY), event(3, HEALTHY))
    return runbook


async def test_the_same_culprits_soon_after_open_it_again() -> None:
    runbook = await healed()
    await runbook.see(event(8, BROKEN))
    (incident,) = (await runbook.incidents()).values()
    assert [step.after for step in incident.history] == [OPENED, CLOSED, OPENED]
    assert "calibration 1.31" in incident.history[-1].reason
    assert len(incident.windows) == 4
    assert incident.mitigations[-1].state is MitigationState.PROPOSED
    assert len(incident.mitigations) == 2


async def test_other_culprits_are_another_incident() -> None:
    runbook = await healed()
    await runbook.see(event(8, BROKEN, shifts=OTHER))
    assert list(await runbook.incidents()) == ["INC-2", "INC-1"]
    assert not (await runbook.incident("INC-1")).is_open


async def test_a_day_later_it_is_another_incident() -> None:
    runbook = await healed()
    await runbook.see(event(28, BROKEN))
    assert list(await runbook.incidents()) == ["INC-2", "INC-1"]


async def test_what_opened_before_its_culprits_were_known_is_merged() -> None:
    runbook = await healed()
    await runbook.see(replace(event(8, BROKEN), comparison=None))
    assert (await runbook.incident("INC-2")).is_open
    await runbook.see(event(9, BROKEN))
    newer, older = (await runbook.incidents()).values()
    assert newer.merged_into == "INC-1"
    assert not newer.is_open
    assert "merged into incidents/INC-1" in newer.history[-1].reason
    assert older.is_open
    assert [window.start_time.hour for window in older.windows] == [1, 2, 3, 8, 9]
    assert older.mitigations[-1].state is MitigationState.PROPOSED
    await runbook.see(event(10, HEALTHY), event(11, HEALTHY))
    assert not (await runbook.incident("INC-1")).is_open


async def test_an_incident_somebody_was_asked_about_stays() -> None:
    runbook = await healed()
    await runbook.see(event(8, BROKEN, shifts=OTHER))
    assert (await runbook.mitigation("INC-2")).state is MitigationState.PROPOSED
    runbook.clock.advance(hours=1)
    await runbook.expire()
    await runbook.see(event(9, BROKEN))
    assert (await runbook.incident("INC-2")).merged_into == ""
    assert not (await runbook.incident("INC-1")).is_open


async def test_a_killed_feature_does_not_stand_for_the_old_trouble() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    await runbook.say_yes()
    await runbook.worker.drain()
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    # At its baseline the feature matters less than in the control: that is our doing.
    gone = [shift("user_embedding", 1, -1.1), *OTHER]
    await runbook.see(event(8, BROKEN, shifts=gone))
    assert list(await runbook.incidents()) == ["INC-2", "INC-1"]


async def test_what_was_decided_on_a_proposal_does_not_count_for_the_next() -> None:
    runbook = await healed()
    first = (await runbook.incident()).mitigations[0]
    await runbook.see(event(8, BROKEN))
    second = await runbook.mitigation()
    answer = Answer(second.id, EXPERT, first.plan_hash, "replayed")
    assert second.name != first.name
    # The same act on the same evidence has the same hash; the approval names its proposal.
    await runbook.approve("INC-1", answer)
    assert (await runbook.incident()).mitigations[0].state is MitigationState.EXPIRED


async def test_a_checkpoint_under_which_nothing_was_ever_healthy_has_regressed() -> None:
    runbook = Runbook()
    await runbook.see(event(1, HEALTHY), event(2, HEALTHY))
    broken = event(3, BROKEN)
    window = replace(broken.window, checkpoint_digest="b" * 64)
    await runbook.see(replace(broken, window=window, comparison=None))
    incident = await runbook.incident()
    assert incident.verdict is IncidentVerdict.CHECKPOINT_REGRESSION
    assert "the new checkpoint" in incident.advice


async def test_an_old_checkpoint_is_not_new_to_somebody_who_just_arrived() -> None:
    runbook = Runbook()
    await runbook.see(replace(event(3, BROKEN), comparison=None))
    assert (await runbook.incident()).verdict is IncidentVerdict.INSUFFICIENT_DATA
