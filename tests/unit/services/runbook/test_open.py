"""Shift events open incidents and add to them; each counts once."""

from dataclasses import replace
from datetime import timedelta

from services.runbook.domain.evidence import Verdict
from services.runbook.domain.mitigation import MitigationState
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, Runbook, event, shift


async def test_healthy_windows_open_nothing_and_are_remembered() -> None:
    runbook = Runbook()
    await runbook.see(event(0, HEALTHY), event(1, 1.05), event(2, 0.96))
    assert not await runbook.incidents()
    assert await runbook.store.read(lambda unit: unit.feeds.cursors()) == {"models/ads_ctr": "2-0"}


async def test_an_anomaly_opens_one_incident_and_later_ones_add_to_it() -> None:
    runbook = Runbook()
    await runbook.see(event(0, HEALTHY), event(1, BROKEN), event(2, 1.4), event(3, BROKEN))
    incidents = await runbook.incidents()
    assert list(incidents) == ["INC-1"]
    assert [w.start_time.hour for w in incidents["INC-1"].windows] == [1, 2, 3]
    assert len(incidents["INC-1"].mitigations) == 1


async def test_models_have_incidents_of_their_own() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN), event(1, BROKEN, model="models/feed"))
    assert {i.model for i in (await runbook.incidents()).values()} == {
        "models/ads_ctr",
        "models/feed",
    }


async def test_a_duplicate_event_changes_nothing_but_the_cursor() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    before = await runbook.incident()
    await runbook.see(event(1, BROKEN), replace(event(1, BROKEN), cursor="1-1"))
    assert await runbook.incident() == before
    assert await runbook.store.read(lambda unit: unit.feeds.cursors()) == {"models/ads_ctr": "1-1"}


async def test_an_anomaly_without_features_to_blame_opens_an_incident_with_advice() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN, verdict=Verdict.NO_FEATURE_EXPLAINS))
    incident = await runbook.incident()
    assert not incident.mitigations
    assert "labels" in incident.advice


async def test_an_anomaly_without_a_control_opens_an_incident_and_waits_for_one() -> None:
    runbook = Runbook()
    await runbook.see(replace(event(1, BROKEN), comparison=None))
    assert "control" in (await runbook.incident()).advice
    await runbook.see(event(2, BROKEN))
    assert (await runbook.mitigation()).state is MitigationState.PROPOSED


async def test_calibration_that_heals_by_itself_closes_the_incident() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN), event(2, HEALTHY))
    assert (await runbook.incident()).is_open
    await runbook.see(event(3, HEALTHY))
    incident = await runbook.incident()
    assert not incident.is_open
    assert incident.mitigations[0].state is MitigationState.EXPIRED


async def test_a_relapse_keeps_it_open() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN), event(2, HEALTHY), event(3, BROKEN), event(4, HEALTHY))
    assert (await runbook.incident()).is_open


async def test_few_events_heal_nothing() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN), *(event(h, 1.0, observed=20) for h in range(2, 8)))
    assert (await runbook.incident()).is_open


async def test_outcomes_that_come_late_do_not_open_an_incident_again() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN), event(3, HEALTHY), event(4, HEALTHY))
    assert not (await runbook.incident()).is_open
    await runbook.see(event(2, BROKEN))
    incidents = await runbook.incidents()
    assert list(incidents) == ["INC-1"]
    assert [w.start_time.hour for w in incidents["INC-1"].windows] == [1, 2, 3, 4]
    await runbook.see(event(5, BROKEN, shifts=[shift("another", 1, 1.0)]))
    assert (await runbook.incident("INC-2")).is_open


async def test_the_newest_window_end_never_goes_back() -> None:
    runbook = Runbook()
    await runbook.see(event(5, HEALTHY), event(2, HEALTHY))
    end = await runbook.store.read(lambda unit: unit.feeds.newest_window_end("models/ads_ctr"))
    assert end == event(5, HEALTHY).window.end_time
    assert end - event(5, HEALTHY).window.start_time == timedelta(hours=1)
