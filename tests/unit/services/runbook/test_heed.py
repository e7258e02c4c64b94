"""Findings that open incidents: of healthy models, trained on data that could hijack them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.errors import LineageUnavailable
from services.runbook.domain.evidence import Verdict
from services.runbook.domain.guardrail import Quorum
from services.runbook.domain.incident import Incident, IncidentState
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import LEFT_OUT, MASKED, SERVED, MitigationKind
from services.runbook.domain.policy import Action
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    MODEL,
    NODE,
    UNHURRIED,
    Runbook,
    event,
    finding,
    on_findings,
    policy,
    rules,
)

_S = MitigationState
TRIGGER = IncidentVerdict.NATURAL_TRIGGER
RULE = "finding.severity > 0.3"


def a_runbook(*policies: object, rule: str = RULE) -> Runbook:
    runbook = Runbook()
    runbook.lineage.found = (finding(),)
    chosen = policies or (on_findings(),)
    runbook.rules.rules = rules(*chosen, open_incident_when=rule)  # type: ignore[arg-type]
    return runbook


async def decided(runbook: Runbook, decide: Callable[..., object] | None = None) -> Incident:
    await (decide or runbook.say_yes)()  # type: ignore[misc]
    await runbook.worker.drain()
    return await runbook.incident()


async def test_a_finding_opens_an_incident_of_a_healthy_model() -> None:
    runbook = a_runbook()
    await runbook.see(event(1, HEALTHY))
    await runbook.hear_of_audits()
    incident = await runbook.incident()
    assert (incident.verdict, incident.model, incident.windows) == (TRIGGER, MODEL, ())
    assert [each.label for each in incident.findings] == ["4711"]
    assert f"audits/A-1 found label '4711' of {NODE}" in incident.timeline[0].message
    [mitigation] = incident.mitigations
    assert str(mitigation.plan) == "serve genres without id 4711"
    assert str(mitigation.preview) == "0.77 (0.73 to 0.81)"


@pytest.mark.parametrize("rule", ["", "finding.severity > 0.5", 'model == "feed"'])
async def test_what_no_rule_is_for_opens_nothing(rule: str) -> None:
    runbook = a_runbook(rule=rule)
    await runbook.hear_of_audits()
    assert await runbook.incidents() == {}


async def test_a_finding_counts_once_however_often_it_is_told() -> None:
    runbook = a_runbook()
    for _ in range(3):
        await runbook.hear_of_audits()
    assert len((await runbook.incident()).timeline) == 2
    await decided(runbook, runbook.say_no)
    await runbook.hear_of_audits()
    assert len(await runbook.incidents()) == 1


async def test_it_survives_an_aggregator_that_is_away() -> None:
    runbook = a_runbook()
    runbook.lineage.missing = "away"
    with pytest.raises(LineageUnavailable):
        await runbook.heed()
    runbook.lineage.missing = ""
    await runbook.hear_of_audits()
    assert len(await runbook.incidents()) == 1


async def test_audits_that_end_late_are_seen_though_later_ones_were_before() -> None:
    runbook = a_runbook()
    await runbook.hear_of_audits()
    late = replace(finding("12", audit="audits/A-0"), time=finding().time - timedelta(hours=20))
    too_late = replace(finding("13", audit="audits/A"), time=finding().time - timedelta(hours=30))
    runbook.lineage.found += (late, too_late)
    await runbook.hear_of_audits()
    assert {each.label for each in (await runbook.incident()).findings} == {"4711", "12"}


async def test_every_model_that_the_data_feeds_has_its_incident() -> None:
    runbook = a_runbook()
    runbook.lineage.fed_by = {NODE: ["models/feed", MODEL]}
    await runbook.hear_of_audits()
    assert {i.model for i in (await runbook.incidents()).values()} == {"models/feed", MODEL}


async def test_a_model_that_was_tested_is_concerned_though_lineage_does_not_know_it() -> None:
    runbook = a_runbook()
    runbook.lineage.fed_by = {}
    await runbook.hear_of_audits()
    assert (await runbook.incident()).model == MODEL


async def test_findings_come_to_the_incident_that_is_open() -> None:
    runbook = a_runbook(policy(), on_findings())
    await runbook.see(event(1, BROKEN))
    await runbook.hear_of_audits()
    incident = await runbook.incident()
    assert len(await runbook.incidents()) == 1
    assert incident.verdict is IncidentVerdict.FEATURE_CORRUPTION
    assert incident.findings == (finding(),)
    assert len(incident.mitigations) == 1


async def test_a_mask_closes_it_once_nothing_worsened() -> None:
    runbook = a_runbook()
    await runbook.hear_of_audits()
    await decided(runbook)
    mitigation = await runbook.mitigation()
    assert mitigation.state is _S.APPLIED
    assert set((await runbook.actuator.observe(mitigation.plan)).values()) == {MASKED}
    # Event time begins with the mask: nothing was seen of the model before.
    assert mitigation.applied_after == runbook.clock.now()
    hour = (runbook.clock.now() - event(0, HEALTHY).window.start_time) // timedelta(hours=1)
    await runbook.see(event(hour + 1, HEALTHY), event(hour + 2, HEALTHY))
    mitigation = await runbook.mitigation()
    assert mitigation.state is _S.EFFECTIVE
    assert mitigation.reason.startswith("nothing worsened: calibration 1.01")
    incident = await runbook.incident()
    assert incident.state is IncidentState.CLOSED
    told = "calibration is healthy, and in force is: serve genres without id 4711"
    assert incident.history[-1].reason == told


async def test_a_mask_that_makes_things_worse_is_taken_back() -> None:
    runbook = a_runbook()
    await runbook.see(event(1, HEALTHY))
    await runbook.hear_of_audits()
    await decided(runbook)
    await runbook.see(event(2, BROKEN), event(3, BROKEN))
    mitigation = next(iter((await runbook.incident()).mitigations))
    assert mitigation.state is _S.REVERTED
    assert set((await runbook.actuator.observe(mitigation.plan)).values()) == {SERVED}
    assert (await runbook.incident()).is_open


async def test_rows_and_then_the_mask_are_proposed_and_both_end_it() -> None:
    runbook = a_runbook(on_findings(Action.QUARANTINE_ROWS), on_findings())
    await runbook.see(event(1, HEALTHY))
    await runbook.hear_of_audits()
    incident = await decided(runbook)
    first, second = incident.mitigations
    assert (first.state, second.state) == (_S.EFFECTIVE, _S.PROPOSED)
    assert set((await runbook.actuator.observe(first.plan)).values()) == {LEFT_OUT}
    assert second.plan.kind is MitigationKind.ID_MASK
    incident = await decided(runbook, runbook.say_no)
    assert incident.state is IncidentState.CLOSED
    assert "in force is: leave rows of" in incident.history[-1].reason


async def test_a_cool_down_puts_the_next_proposal_off() -> None:
    runbook = a_runbook(on_findings(Action.QUARANTINE_ROWS), on_findings())
    hurried = replace(UNHURRIED, cool_down=timedelta(minutes=10))
    runbook.rules.rules = replace(runbook.rules.rules, guard_rails=hurried)
    await runbook.hear_of_audits()
    incident = await decided(runbook)
    assert incident.is_open
    assert len(incident.mitigations) == 1
    assert "cool_down_minutes" in incident.advice
    runbook.clock.advance(minutes=11)
    await runbook.worker.drain()
    assert len((await runbook.incident()).mitigations) == 2


async def test_who_decides_against_it_closes_it() -> None:
    runbook = a_runbook()
    await runbook.hear_of_audits()
    incident = await decided(runbook, runbook.say_no)
    assert incident.state is IncidentState.CLOSED
    told = "nothing is to be done: ada rejected to serve genres without id 4711 (not this one)"
    assert told in incident.history[-1].reason


async def test_who_takes_it_back_closes_it() -> None:
    runbook = a_runbook()
    await runbook.hear_of_audits()
    await decided(runbook)
    incident = await decided(runbook, runbook.take_back)
    assert incident.mitigations[0].state is _S.REVERTED
    assert incident.state is IncidentState.CLOSED
    assert "ada took back to serve genres" in incident.history[-1].reason


@pytest.mark.parametrize(
    ("action", "limit", "needed"),
    [
        (Action.MASK_IDS, {"features": 2}, 1),
        (Action.MASK_IDS, {"examples": 1_000_000}, 2),
        (Action.QUARANTINE_ROWS, {"features": 150}, 2),
    ],
)
async def test_what_nobody_compared_is_taken_for_the_worst(
    action: Action, limit: dict[str, int], needed: int
) -> None:
    runbook = a_runbook(on_findings(action))
    rails = replace(UNHURRIED, quorums=(Quorum(2, **limit),))
    runbook.rules.rules = replace(runbook.rules.rules, guard_rails=rails)
    await runbook.hear_of_audits()
    assert (await runbook.mitigation()).required_approvals == needed


async def test_what_is_acted_on_opens_nothing_again() -> None:
    runbook = a_runbook(on_findings(Action.QUARANTINE_ROWS))
    await runbook.hear_of_audits()
    assert not (await decided(runbook)).is_open
    again = replace(finding(audit="audits/A-2"), time=finding().time + timedelta(hours=2))
    runbook.lineage.found += (again,)
    await runbook.hear_of_audits()
    assert len(await runbook.incidents()) == 1
    await runbook.take_back()
    await runbook.worker.drain()
    later = replace(finding(audit="audits/A-3"), time=finding().time + timedelta(hours=3))
    runbook.lineage.found += (later,)
    await runbook.hear_of_audits()
    assert len(await runbook.incidents()) == 2


async def test_silence_leaves_it_open_until_an_audit_finds_it_again() -> None:
    runbook = a_runbook()
    await runbook.hear_of_audits()
    runbook.clock.advance(minutes=31)
    await runbook.expire()
    incident = await runbook.incident()
    assert incident.is_open
    assert "If an audit finds it again it is proposed again" in incident.advice
    again = replace(finding(audit="audits/A-2"), time=finding().time + timedelta(hours=1))
    runbook.lineage.found += (again,)
    await runbook.hear_of_audits()
    assert (await runbook.mitigation()).state is _S.PROPOSED
    assert len((await runbook.incident()).mitigations) == 2


async def test_no_policy_acts_and_says_so() -> None:
    runbook = a_runbook(policy())
    await runbook.hear_of_audits()
    incident = await runbook.incident()
    assert incident.is_open
    assert "No policy acts on it" in incident.advice


async def test_windows_of_a_healthy_model_are_no_evidence() -> None:
    runbook = a_runbook(policy())
    await runbook.hear_of_audits()
    await runbook.see(*(event(hour, HEALTHY) for hour in range(1, 5)))
    assert (await runbook.incident()).windows == ()


async def test_an_anomaly_comes_to_it_and_what_is_left_over_opens_anew() -> None:
    runbook = a_runbook(policy(), on_findings(when="finding.severity > 0.9"))
    await runbook.hear_of_audits()
    await runbook.see(event(1, BROKEN))
    incident = await runbook.incident()
    assert incident.verdict is IncidentVerdict.FEATURE_CORRUPTION
    await decided(runbook)
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    first, second = sorted((await runbook.incidents()).values(), key=lambda i: i.id)
    assert first.state is IncidentState.CLOSED
    assert second.verdict is TRIGGER
    assert second.findings == (finding(),)
    # The trouble before does not come back by what has no windows.
    await runbook.see(event(4, BROKEN, verdict=Verdict.NO_FEATURE_EXPLAINS, shifts=()))
    assert len(await runbook.incidents()) == 2


async def test_a_released_mask_watches_that_nothing_worsens() -> None:
    runbook = a_runbook()
    await runbook.see(event(1, HEALTHY))
    await runbook.hear_of_audits()
    await decided(runbook)
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    await runbook.let_go()
    await runbook.worker.drain()
    await runbook.see(event(4, HEALTHY), event(5, HEALTHY))
    assert (await runbook.mitigation()).state is _S.RELEASED
