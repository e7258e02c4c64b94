"""Policies propose, observe or approve; guard rails and previews hold them back."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.runbook.domain.guardrail import FreezeWindow, GuardRails
from services.runbook.domain.incident import Incident
from services.runbook.domain.learned import Learned
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.policy import Mode, Rules
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.work import Work, WorkKind
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    WALL_TIME,
    Runbook,
    event,
    policy,
    rules,
    shift,
)
from tests.unit.services.runbook.domain.test_learned import BY_Z

FROZEN = GuardRails(
    freeze_windows=(FreezeWindow(WALL_TIME, WALL_TIME + timedelta(hours=1), "the sale"),)
)


async def after_one_anomaly(runbook: Runbook, given: Rules) -> Incident:
    runbook.rules.rules = given
    await runbook.see(event(1, BROKEN))
    return await runbook.incident()


async def test_one_broken_feature_is_proposed_alone_with_its_preview() -> None:
    runbook = Runbook()
    incident = await after_one_anomaly(runbook, rules())
    (mitigation,) = incident.mitigations
    assert mitigation.state is MitigationState.PROPOSED
    assert mitigation.plan.features == ("user_embedding",)
    assert mitigation.proposer == "policy:threshold"
    assert isinstance(mitigation.preview, Preview)
    assert mitigation.preview.calibration == pytest.approx(1.0)
    assert runbook.previews.asked == [(incident.windows[0].name, ("user_embedding",))]
    assert "Approve or reject: switch off user_embedding. Expires at 03:42" in incident.advice


async def test_features_are_previewed_together() -> None:
    runbook = Runbook()
    runbook.previews.ratios |= {frozenset("a"): 0.95, frozenset("b"): 0.9, frozenset("ab"): 0.8}
    await runbook.see(event(1, BROKEN, shifts=[shift("a", 1, 1.0), shift("b", 2, 0.9)]))
    (mitigation,) = (await runbook.incident()).mitigations
    assert mitigation.plan.features == ("a", "b")
    assert isinstance(mitigation.preview, Preview)
    assert mitigation.preview.calibration == pytest.approx(BROKEN * 0.8)


async def test_the_smallest_set_that_does_as_well_is_proposed_with_the_others() -> None:
    runbook = Runbook()
    runbook.previews.ratios |= {frozenset("b"): 0.97}
    await runbook.see(event(1, BROKEN, shifts=[shift("a", 1, 1.0), shift("b", 2, 0.9)]))
    (mitigation,) = (await runbook.incident()).mitigations
    assert mitigation.plan.features == ("a",)
    assert isinstance(mitigation.preview, Preview)
    others = {other.features: other.calibration for other in mitigation.preview.alternatives}
    assert others == {
        (): pytest.approx(BROKEN),
        ("b",): pytest.approx(BROKEN * 0.97),
        ("a", "b"): pytest.approx(1.0),
    }


async def test_a_smaller_set_that_was_rejected_is_not_proposed_again() -> None:
    runbook = Runbook()
    shifts = [shift("a", 1, 1.0), shift("b", 2, 0.9)]
    runbook.previews.ratios |= {frozenset("b"): 0.97}
    await runbook.see(event(1, BROKEN, shifts=shifts))
    await runbook.say_no()
    await runbook.see(event(2, BROKEN, shifts=shifts))
    incident = await runbook.incident()
    assert len(incident.mitigations) == 1
    assert "To switch off a was rejected before" in incident.advice


async def test_what_would_not_help_is_not_proposed() -> None:
    runbook = Runbook()
    runbook.previews.ratios[frozenset({"user_embedding"})] = 1.0
    incident = await after_one_anomaly(runbook, rules())
    assert not incident.mitigations
    assert "would not help enough (preview 1.31" in incident.advice


async def test_a_missing_preview_says_why_and_leaves_the_decision_to_the_expert() -> None:
    runbook = Runbook()
    runbook.previews.missing = "the aggregator kept no examples of the window"
    (mitigation,) = (await after_one_anomaly(runbook, rules())).mitigations
    assert mitigation.preview == MissingPreview("the aggregator kept no examples of the window")


def said_by(incident: Incident, actor: str) -> list[str]:
    return [entry.message for entry in incident.timeline if entry.actor == actor]


async def test_observing_proposes_nothing_and_says_what_it_would_do() -> None:
    incident = await after_one_anomaly(Runbook(), rules(policy(Mode.OBSERVE)))
    assert not incident.mitigations
    assert incident.advice == "No policy acts on it. This needs a person."
    (said,) = said_by(incident, "policy:threshold")
    assert said.startswith(
        "threshold only observes. It would switch off user_embedding (preview 1.0"
    )


async def test_those_who_observe_stop_nobody_wherever_they_stand() -> None:
    shifts = [shift("user_embedding", 1, 1.0), shift("genres", 2, 0.9)]
    watching = [
        replace(policy(Mode.OBSERVE, features=f"shift.rank == {rank}"), name=f"watching-{rank}")
        for rank in (1, 2)
    ]
    incidents = []
    for order in ((*watching, policy()), (policy(), *watching), (policy(),)):
        runbook = Runbook()
        runbook.rules.rules = rules(*order)
        await runbook.see(event(1, BROKEN, shifts=shifts))
        incidents.append(await runbook.incident())
    assert len({incident.mitigations for incident in incidents}) == 1
    for incident in incidents[:2]:
        (first,) = said_by(incident, "policy:watching-1")
        (second,) = said_by(incident, "policy:watching-2")
        assert "would switch off user_embedding" in first
        assert "would switch off genres" in second


async def test_an_observation_is_made_once_an_incident() -> None:
    runbook = Runbook()
    runbook.rules.rules = rules(policy(Mode.OBSERVE))
    await runbook.see(event(1, BROKEN), event(2, 1.4), event(3, 1.5))
    assert len(said_by(await runbook.incident(), "policy:threshold")) == 1


async def test_an_observer_that_cannot_be_followed_stops_nobody() -> None:
    runbook = Runbook()
    broken = replace(policy(Mode.OBSERVE, when="[1][anomalous_windows] == 1"), name="broken")
    incident = await after_one_anomaly(runbook, rules(broken, policy()))
    assert len(incident.mitigations) == 1
    assert said_by(incident, "policy:broken") == []


async def test_applying_needs_nobody() -> None:
    incident = await after_one_anomaly(Runbook(), rules(policy(Mode.APPLY)))
    (mitigation,) = incident.mitigations
    assert mitigation.state is MitigationState.APPLIED
    assert mitigation.approver == "policy:threshold"


async def test_applying_without_a_preview_needs_an_expert() -> None:
    runbook = Runbook()
    runbook.previews.missing = "no attribution service is configured"
    (mitigation,) = (await after_one_anomaly(runbook, rules(policy(Mode.APPLY)))).mitigations
    assert mitigation.state is MitigationState.PROPOSED


@pytest.mark.parametrize(
    ("rails", "why"),
    [
        (GuardRails(never_kill=("user_*",)), "user_embedding must never be switched off"),
        (GuardRails(most_features_killed=0), "most_features_killed"),
        (FROZEN, "until 2026-11-22 04:12 UTC: the sale (freeze_windows)"),
    ],
)
@pytest.mark.parametrize("mode", Mode)
async def test_no_policy_crosses_a_guard_rail(rails: GuardRails, why: str, mode: Mode) -> None:
    incident = await after_one_anomaly(Runbook(), rules(policy(mode), guard_rails=rails))
    assert not incident.mitigations
    assert (why in incident.advice) is (mode is not Mode.OBSERVE)
    assert said_by(incident, "policy:threshold") == []


async def test_too_many_features_need_a_person() -> None:
    runbook = Runbook()
    await runbook.see(
        event(1, BROKEN, shifts=[shift(name, rank, 1.0) for rank, name in enumerate("abcd", 1)])
    )
    incident = await runbook.incident()
    assert not incident.mitigations
    assert "most_features_at_once" in incident.advice


async def test_protected_features_are_left_out_of_a_larger_set() -> None:
    runbook = Runbook()
    runbook.rules.rules = rules(guard_rails=GuardRails(never_kill=("b",)))
    await runbook.see(event(1, BROKEN, shifts=[shift("a", 1, 1.0), shift("b", 2, 0.9)]))
    assert (await runbook.mitigation()).plan.features == ("a",)


async def test_the_first_policy_that_selects_decides() -> None:
    other = policy(features='shift.feature == "genres"')
    incident = await after_one_anomaly(
        Runbook(), rules(policy(when='model == "feed"'), other, policy())
    )
    assert incident.mitigations[0].plan.features == ("genres",)


async def test_no_policy_acts() -> None:
    incident = await after_one_anomaly(Runbook(), rules(policy(features="false")))
    assert incident.advice == "No policy acts on it. This needs a person."


async def test_a_condition_that_fails_says_so_and_stops_nothing() -> None:
    runbook = Runbook()
    incident = await after_one_anomaly(runbook, rules(policy(features="shift.z")))
    assert "neither true nor false" in incident.advice
    runbook.rules.rules = rules()
    await runbook.see(event(2, BROKEN))
    assert (await runbook.mitigation()).state is MitigationState.PROPOSED


async def test_what_was_rejected_is_not_proposed_again() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    await runbook.say_no()
    await runbook.see(event(2, BROKEN))
    incident = await runbook.incident()
    assert len(incident.mitigations) == 1
    assert "was rejected before" in incident.advice


async def test_what_expired_is_proposed_again() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    runbook.clock.advance(minutes=31)
    await runbook.expire()
    await runbook.see(event(2, BROKEN))
    states = [m.state for m in (await runbook.incident()).mitigations]
    assert states == [MitigationState.EXPIRED, MitigationState.PROPOSED]


async def test_an_event_that_comes_again_asks_for_nothing() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    runbook.clock.advance(minutes=31)
    await runbook.expire()
    await runbook.see(event(1, BROKEN))
    assert len((await runbook.incident()).mitigations) == 1


async def test_two_workers_that_consider_at_once_make_one_proposal() -> None:
    runbook = Runbook()
    await runbook.open(event(1, BROKEN))
    # As if a worker had held the first question when the second window came.
    again = Work(WorkKind.PROPOSE, "INC-1")
    await runbook.store.transact(lambda unit: unit.outbox.put(again))
    await asyncio.gather(*(runbook.new_worker().drain() for _ in range(3)))
    assert len(runbook.previews.asked) == 2
    assert len((await runbook.incident()).mitigations) == 1


async def test_windows_that_come_before_anyone_looked_ask_once() -> None:
    runbook = Runbook()
    await runbook.open(event(1, BROKEN))
    await runbook.open(event(2, BROKEN))
    await asyncio.gather(*(runbook.new_worker().drain() for _ in range(3)))
    assert len(runbook.previews.asked) == 1
    assert len((await runbook.incident()).mitigations) == 1


async def test_a_feature_that_is_off_is_no_suspect_of_the_next_incident() -> None:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    await runbook.say_yes()
    await runbook.worker.drain()
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    assert not (await runbook.incident()).is_open
    await runbook.see(
        event(4, BROKEN, shifts=[shift("user_embedding", 1, -0.9), shift("genres", 2, 0.2)])
    )
    assert (await runbook.mitigation("INC-2")).plan.features == ("genres",)


@pytest.mark.parametrize("mode", [Mode.SUGGEST, Mode.OBSERVE])
async def test_a_learned_policy_proposes_and_says_what_weighed_most(mode: Mode) -> None:
    runbook = Runbook()
    learned = replace(policy(mode=mode), name="learned", features=Learned(BY_Z))
    incident = await after_one_anomaly(runbook, rules(learned))
    if mode is Mode.OBSERVE:
        assert incident.mitigations == ()
        (said,) = said_by(incident, "policy:learned")
        assert "learned only observes. It would switch off user_embedding" in said
        return
    (mitigation,) = incident.mitigations
    assert mitigation.state is MitigationState.PROPOSED
    assert mitigation.plan.features == ("user_embedding",)
    assert mitigation.proposer == "policy:learned"
    told = "user_embedding is broken with probability 0.98, most by abs_z 3.71 (+5.14)"
    assert mitigation.history[0].reason == f"policy learned, version 1: {told}"
