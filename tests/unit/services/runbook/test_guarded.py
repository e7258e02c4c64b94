"""Guard rails, quorum, pause and escalation, as experts and policies meet them."""

from datetime import timedelta

import pytest

from services.runbook.domain.approval import Expert
from services.runbook.domain.errors import (
    DecisionRefused,
    GuardRailRefused,
    MitigationsPaused,
    NotAnApprover,
)
from services.runbook.domain.escalation import EscalationStep
from services.runbook.domain.evidence import Verdict
from services.runbook.domain.guardrail import GuardRails, Quorum
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.pause import PauseState
from services.runbook.domain.policy import Mode
from tests.unit.services.runbook.builders import (
    BROKEN,
    EXPERT,
    HEALTHY,
    UNHURRIED,
    WALL_TIME,
    Runbook,
    event,
    policy,
    rules,
    shift,
)

OTHER = Expert("grace", may_approve=True)
TWO = GuardRails(quorums=(Quorum(2, features=1),))
PROPOSED, APPROVED = MitigationState.PROPOSED, MitigationState.APPROVED
ANOTHER = [shift("another", 1, 1.0)]


async def proposing(rails: GuardRails = UNHURRIED, mode: Mode = Mode.SUGGEST) -> Runbook:
    runbook = Runbook()
    runbook.rules.rules = rules(policy(mode), guard_rails=rails)
    await runbook.see(event(1, BROKEN))
    return runbook


class TestQuorum:
    async def test_two_distinct_approvers(self) -> None:
        runbook = await proposing(TWO)
        assert "Takes 2 approvers" in (await runbook.incident()).advice
        first = await runbook.say_yes()
        assert (first.state, first.required_approvals) == (PROPOSED, 2)
        assert "1 of 2 approvals" in (await runbook.incident()).advice
        again = await runbook.say_yes()
        assert again == first
        second = await runbook.say_yes(OTHER)
        assert second.state is APPROVED
        assert [approval.actor for approval in second.approvals] == ["ada", "grace"]
        assert second.reason == "2 of 2 approvals: plausible"

    async def test_each_yes_is_audited(self) -> None:
        runbook = await proposing(TWO)
        await runbook.say_yes()
        step = (await runbook.mitigation()).history[-1]
        assert (step.before, step.after, step.actor) == (PROPOSED, PROPOSED, "ada")
        assert step.reason == "1 of 2 approvals: plausible"

    async def test_one_no_is_enough(self) -> None:
        runbook = await proposing(TWO)
        await runbook.say_yes()
        assert (await runbook.say_no(OTHER)).state is MitigationState.REJECTED
        with pytest.raises(DecisionRefused, match="was REJECTED by grace"):
            await runbook.say_yes(Expert("joan", may_approve=True))

    async def test_half_a_quorum_expires(self) -> None:
        runbook = await proposing(TWO)
        await runbook.say_yes()
        runbook.clock.advance(minutes=30)
        with pytest.raises(DecisionRefused, match="expired at"):
            await runbook.say_yes(OTHER)

    async def test_it_is_counted_by_the_rules_at_the_click(self) -> None:
        runbook = await proposing()
        runbook.rules.rules = rules(guard_rails=TWO)
        assert (await runbook.say_yes()).state is PROPOSED
        runbook.rules.rules = rules()
        assert (await runbook.say_yes(OTHER)).state is APPROVED

    async def test_a_policy_is_one_voice(self) -> None:
        runbook = await proposing(TWO, Mode.APPLY)
        assert (await runbook.mitigation()).state is PROPOSED
        with pytest.raises(NotAnApprover, match="proposed"):
            await runbook.say_yes(Expert("policy:threshold", may_approve=True))


class TestRails:
    @pytest.mark.parametrize(
        ("rails", "why"),
        [
            (GuardRails(never_kill=("user_*",)), "never_kill"),
            (GuardRails(daily_budget=0), "daily_budget"),
            (GuardRails(most_features_killed_of_model=0), "most_features_killed_of_model"),
        ],
    )
    async def test_they_are_looked_at_again_at_the_click_and_at_the_act(
        self, rails: GuardRails, why: str
    ) -> None:
        runbook = await proposing()
        runbook.rules.rules = rules(guard_rails=rails)
        with pytest.raises(GuardRailRefused, match=why):
            await runbook.say_yes()
        runbook.rules.rules = rules()
        await runbook.say_yes()
        runbook.rules.rules = rules(guard_rails=rails)
        await runbook.worker.drain()
        mitigation = await runbook.mitigation()
        assert mitigation.state is MitigationState.CONFLICTED
        assert why in mitigation.reason

    async def test_a_model_cools_down(self) -> None:
        runbook = await proposing(GuardRails(cool_down=timedelta(minutes=10)))
        await runbook.say_yes()
        await runbook.worker.drain()
        await runbook.take_back()
        await runbook.worker.drain()
        await runbook.see(event(2, BROKEN, shifts=ANOTHER))
        assert "(cool_down_minutes)" in (await runbook.incident()).advice
        runbook.clock.advance(minutes=10)
        await runbook.see(event(3, BROKEN, shifts=ANOTHER))
        assert (await runbook.mitigation()).plan.features == ("another",)


class TestPause:
    async def test_nothing_is_approved_or_proposed_while_it_lasts(self) -> None:
        runbook = await proposing()
        pause = await runbook.pause()
        assert pause.is_on
        with pytest.raises(MitigationsPaused, match="since 2026-11-22 03:12 UTC by ada: the sale"):
            await runbook.say_yes()
        assert (await runbook.say_no()).state is MitigationState.REJECTED
        await runbook.see(event(2, BROKEN, shifts=ANOTHER))
        assert "mitigations are paused" in (await runbook.incident()).advice
        assert not (await runbook.pause(on=False)).is_on
        # Nobody has to wait for the next window.
        await runbook.worker.drain()
        assert (await runbook.say_yes()).state is APPROVED

    async def test_no_policy_acts(self) -> None:
        runbook = Runbook()
        runbook.rules.rules = rules(policy(Mode.APPLY))
        await runbook.pause()
        await runbook.see(event(1, BROKEN))
        assert not (await runbook.incident()).mitigations

    async def test_what_was_approved_and_not_begun_is_called_off(self) -> None:
        runbook = await proposing()
        await runbook.say_yes()
        await runbook.pause()
        await runbook.worker.drain()
        mitigation = await runbook.mitigation()
        assert mitigation.state is MitigationState.CONFLICTED
        assert "paused" in mitigation.reason
        assert await runbook.actuator.observe(mitigation.plan) == {"user_embedding": "served"}

    async def test_undoing_stays_possible(self) -> None:
        runbook = await proposing()
        await runbook.say_yes()
        await runbook.worker.drain()
        await runbook.pause()
        await runbook.take_back()
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is MitigationState.REVERTED

    async def test_what_does_not_help_is_taken_back_all_the_same(self) -> None:
        runbook = await proposing()
        await runbook.say_yes()
        await runbook.worker.drain()
        await runbook.pause()
        await runbook.see(event(2, BROKEN), event(3, BROKEN))
        assert (await runbook.mitigation()).state is MitigationState.REVERTED

    async def test_it_takes_the_role_and_is_audited_once(self) -> None:
        runbook = Runbook()
        with pytest.raises(NotAnApprover):
            await runbook.pause(Expert("eve", may_approve=False))
        first = await runbook.pause()
        assert await runbook.pause(OTHER) == first
        await runbook.pause(OTHER, on=False)
        records = await runbook.store.read(lambda unit: list(unit.audit.records()))
        assert [(r.subject, r.ordinal, r.step.after, r.step.actor) for r in records] == [
            ("pause", 0, PauseState.PAUSED, "ada"),
            ("pause", 1, PauseState.RUNNING, "grace"),
        ]
        assert records[0].step.reason == "the sale"


class TestEscalation:
    STEPS = (
        EscalationStep(timedelta(minutes=10), "second line"),
        EscalationStep(timedelta(minutes=20), "head of ads"),
    )

    async def waiting(self) -> Runbook:
        runbook = Runbook()
        runbook.rules.rules = rules(escalation=self.STEPS)
        await runbook.see(event(1, BROKEN))
        return runbook

    async def test_silence_calls_one_after_the_other_and_then_expires(self) -> None:
        runbook = await self.waiting()
        seen = []
        for _ in range(6):
            runbook.clock.advance(minutes=5)
            await runbook.worker.drain()
            seen.append((await runbook.mitigation()).escalated_to)
        second, both = ("second line",), ("second line", "head of ads")
        assert seen == [(), second, second, both, both, both]
        incident = await runbook.incident()
        assert incident.advice.startswith("head of ads: approve or reject")
        told = [e.message for e in incident.timeline if "calling" in e.message]
        assert len(told) == 2
        await runbook.expire()
        assert (await runbook.mitigation()).state is MitigationState.EXPIRED

    async def test_an_answer_ends_it(self) -> None:
        runbook = await self.waiting()
        await runbook.say_no()
        runbook.clock.advance(minutes=25)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).escalated_to == ()

    async def test_a_runbook_that_slept_calls_all_who_are_due(self) -> None:
        runbook = await self.waiting()
        runbook.clock.advance(minutes=25)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).escalated_to == ("second line", "head of ads")


@pytest.mark.parametrize("verdict", [Verdict.NO_FEATURE_EXPLAINS, Verdict.INSUFFICIENT_DATA])
async def test_other_verdicts_lead_to_advice_whatever_the_policy_says(verdict: Verdict) -> None:
    runbook = Runbook()
    runbook.rules.rules = rules(policy(Mode.APPLY, when="true"))
    await runbook.see(event(1, BROKEN, verdict=verdict))
    incident = await runbook.incident()
    assert not incident.mitigations
    assert "look at" in incident.advice


async def test_a_proposal_begins_its_wait_at_the_wall_clock() -> None:
    runbook = await proposing()
    assert (await runbook.mitigation()).history[0].time == WALL_TIME
    await runbook.see(event(2, HEALTHY))
    assert (await runbook.say_yes(EXPERT)).state is APPROVED
