"""A kill ends: renewed by somebody, or served again by stages while calibration stays healthy."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.domain.approval import Expert, Wish
from services.runbook.domain.errors import (
    ActuatorUnavailable,
    InvalidTransition,
    MitigationsPaused,
    NotAnApprover,
    StalePlan,
)
from services.runbook.domain.lease import LeaseTerms
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import Plan
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.expose import Expose
from tests.unit.services.runbook.builders import (
    BROKEN,
    EXPERT,
    HEALTHY,
    WALL_TIME,
    Runbook,
    Unreliable,
    event,
    rules,
    shift,
)

TERMS = LeaseTerms(timedelta(hours=24), timedelta(hours=1), (1, 10, 100))
EFFECTIVE, RELEASING = MitigationState.EFFECTIVE, MitigationState.RELEASING
RELEASED = MitigationState.RELEASED


@pytest.fixture
async def runbook() -> Runbook:
    """Killed in wall time 03:12, effective since event time 04:00."""
    started = Runbook()
    started.rules.rules = rules(lease=TERMS)
    await started.see(event(1, BROKEN))
    await started.say_yes()
    await started.worker.drain()
    await started.see(event(2, HEALTHY), event(3, HEALTHY))
    return started


async def setting(runbook: Runbook) -> str:
    observed = await runbook.actuator.observe((await runbook.mitigation()).plan)
    return observed["user_embedding"]


async def release(runbook: Runbook) -> None:
    """Come to the first stage."""
    await runbook.let_go()
    await runbook.worker.drain()


class TestLapse:
    async def test_somebody_is_asked_first(self, runbook: Runbook) -> None:
        assert (await runbook.mitigation()).lease_expire_time == WALL_TIME + timedelta(hours=24)
        runbook.clock.advance(hours=24)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is EFFECTIVE
        advice = (await runbook.incident()).advice
        assert "The kill of user_embedding has lapsed: renew it" in advice
        assert "2026-11-23 04:12 UTC its features are served again by stages" in advice

    async def test_then_it_is_released(self, runbook: Runbook) -> None:
        for hours in (24, 1):
            runbook.clock.advance(hours=hours)
            await runbook.worker.drain()
        mitigation = await runbook.mitigation()
        assert mitigation.state is RELEASING
        assert mitigation.reason == "its lease lapsed and nobody renewed it"
        assert await setting(runbook) == "served to 1 %"

    async def test_whoever_renews_it_is_on_record(self, runbook: Runbook) -> None:
        runbook.clock.advance(hours=24)
        await runbook.worker.drain()
        renewed = await runbook.keep()
        assert renewed.lease_expire_time == WALL_TIME + timedelta(hours=48)
        step = renewed.history[-1]
        assert (step.before, step.after, step.actor) == (EFFECTIVE, EFFECTIVE, "ada")
        runbook.clock.advance(hours=2)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is EFFECTIVE
        runbook.clock.advance(hours=23)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is RELEASING

    async def test_the_same_wish_twice_counts_once(self, runbook: Runbook) -> None:
        wish = Wish("1", EXPERT, "still broken", (await runbook.mitigation()).etag)
        first = await runbook.renew("INC-1", wish)
        runbook.clock.advance(hours=1)
        assert await runbook.renew("INC-1", wish) == first
        with pytest.raises(StalePlan, match="has changed since it was looked at"):
            await runbook.release("INC-1", replace(wish, reason="mended upstream"))
        wish = replace(wish, etag=first.etag)
        assert (await runbook.release("INC-1", wish)).state is RELEASING
        assert (await runbook.release("INC-1", wish)).state is RELEASING

    async def test_what_nobody_verified_and_nobody_renewed_is_taken_back(self) -> None:
        runbook = Runbook()
        await runbook.see(event(1, BROKEN))
        await runbook.say_yes()
        await runbook.worker.drain()
        runbook.clock.advance(hours=24)
        await runbook.worker.drain()
        assert "it is taken back" in (await runbook.incident()).advice
        runbook.clock.advance(hours=1)
        await runbook.worker.drain()
        mitigation = await runbook.mitigation()
        assert mitigation.state is MitigationState.REVERTED
        assert "before any window told" in mitigation.reason
        assert await setting(runbook) == "served"

    async def test_a_pause_holds_it(self, runbook: Runbook) -> None:
        await runbook.pause()
        runbook.clock.advance(hours=30)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is EFFECTIVE
        with pytest.raises(MitigationsPaused):
            await runbook.let_go()
        await runbook.pause(on=False)
        runbook.clock.advance(minutes=1)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is RELEASING


class TestStages:
    async def test_healthy_windows_lead_to_all_traffic_and_to_the_end(
        self, runbook: Runbook
    ) -> None:
        await release(runbook)
        seen = []
        for hour in range(4, 10):
            await runbook.see(event(hour, HEALTHY))
            seen.append(await setting(runbook))
        assert seen == [
            "served to 1 %",
            "served to 10 %",
            "served to 10 %",
            "served to 100 %",
            "served to 100 %",
            "served",
        ]
        mitigation = await runbook.mitigation()
        assert mitigation.state is RELEASED
        assert mitigation.stage is None
        incident = await runbook.incident()
        assert not incident.is_open
        assert incident.advice == ""

    @pytest.mark.parametrize("stage", [0, 1, 2])
    async def test_worse_at_a_stage_is_killed_again_and_said(
        self, runbook: Runbook, stage: int
    ) -> None:
        await release(runbook)
        await runbook.see(*(event(hour, HEALTHY) for hour in range(4, 4 + 2 * stage)))
        await runbook.see(event(4 + 2 * stage, BROKEN, shifts=[shift("user_embedding", 1, 0.9)]))
        incident = await runbook.incident()
        mitigation = incident.mitigations[0]
        assert mitigation.state is MitigationState.APPLIED
        assert await setting(runbook) == "killed"
        again = mitigation.passage(MitigationState.APPLYING)
        assert again is not None
        assert f"worse at {TERMS.stages[stage]} %" in again.reason
        assert incident.is_open
        assert any(e.message.startswith("killed again") for e in incident.timeline)
        assert len(await runbook.incidents()) == 1
        hour = 5 + 2 * stage
        await runbook.see(event(hour, HEALTHY), event(hour + 1, HEALTHY))
        assert (await runbook.mitigation()).state is EFFECTIVE
        assert not (await runbook.incident()).is_open

    async def test_windows_without_enough_events_hold_it_and_a_person_is_asked(
        self, runbook: Runbook
    ) -> None:
        await release(runbook)
        await runbook.see(*(event(hour, 1.0, observed=20) for hour in range(4, 10)))
        assert (await runbook.mitigation()).state is RELEASING
        assert await setting(runbook) == "served to 1 %"
        assert "6 windows do not tell" in (await runbook.incident()).advice

    async def test_a_window_that_began_before_the_stage_says_nothing(
        self, runbook: Runbook
    ) -> None:
        runbook.watermarks.times["models/ads_ctr"] = event(5, HEALTHY).window.start_time
        await release(runbook)
        await runbook.see(*(event(hour, HEALTHY) for hour in (4, 5, 6)))
        assert await setting(runbook) == "served to 1 %"
        await runbook.see(event(7, HEALTHY))
        assert await setting(runbook) == "served to 10 %"

    async def test_a_pause_holds_a_release_but_not_its_way_back(self, runbook: Runbook) -> None:
        await release(runbook)
        await runbook.pause()
        await runbook.see(event(4, HEALTHY), event(5, HEALTHY), event(6, HEALTHY))
        assert await setting(runbook) == "served to 1 %"
        await runbook.see(event(7, BROKEN))
        assert await setting(runbook) == "killed"

    async def test_somebody_takes_a_release_back(self, runbook: Runbook) -> None:
        await release(runbook)
        assert (await runbook.keep()).state is MitigationState.APPLYING
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is MitigationState.APPLIED
        assert await setting(runbook) == "killed"

    async def test_somebody_ends_it_at_once(self, runbook: Runbook) -> None:
        await release(runbook)
        await runbook.take_back()
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is MitigationState.REVERTED
        assert await setting(runbook) == "served"

    async def test_another_incident_of_the_model_takes_a_release_back(
        self, runbook: Runbook
    ) -> None:
        await release(runbook)
        await runbook.see(event(4, HEALTHY))
        await runbook.see(event(5, BROKEN, shifts=[shift("another", 1, 1.0)]))
        assert await setting(runbook) == "killed"

    async def test_an_actuator_that_does_not_answer_is_asked_again(self) -> None:
        actuator = Unreliable()
        runbook = Runbook(actuator=actuator)
        await runbook.see(event(1, BROKEN))
        await runbook.say_yes()
        await runbook.worker.drain()
        await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        actuator.failures["expose"] = [ActuatorUnavailable("down")]
        await release(runbook)
        assert await setting(runbook) == "killed"
        runbook.clock.advance(seconds=1)
        await runbook.worker.drain()
        assert await setting(runbook) == "served to 1 %"

    async def test_an_actuator_that_never_answers_holds_nothing_up(self, runbook: Runbook) -> None:
        class Silent(DryRun):
            async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
                await asyncio.Event().wait()

        claim = Claim(1, Work(WorkKind.EXPOSE, "INC-1", "1"), 1)
        await runbook.let_go()
        actuator = Silent()
        expose = Expose(
            runbook.store, actuator, actuator, runbook.watermarks, runbook.clock, patience=0.01
        )
        with pytest.raises(ActuatorUnavailable, match=r"no answer within 0.01 s"):
            await expose(claim)


class TestWho:
    async def test_it_takes_the_role_and_not_the_proposer(self, runbook: Runbook) -> None:
        for expert in (Expert("eve", may_approve=False), Expert("policy:threshold", True)):
            for decide in (runbook.keep, runbook.let_go):
                with pytest.raises(NotAnApprover):
                    await decide(expert)

    async def test_the_same_wish_again_changes_nothing(self, runbook: Runbook) -> None:
        await release(runbook)
        before = await runbook.mitigation()
        assert await runbook.let_go() == before

    async def test_what_is_not_in_force_has_no_lease(self) -> None:
        runbook = Runbook()
        await runbook.see(event(1, BROKEN))
        with pytest.raises(InvalidTransition, match="is PROPOSED and cannot become renewed"):
            await runbook.keep()
        with pytest.raises(InvalidTransition, match="is PROPOSED and cannot become RELEASING"):
            await runbook.let_go()


class TestClockJumps:
    """The wall clock may be set; event time decides what windows mean."""

    @pytest.mark.parametrize("hours", [-48, -1, 1])
    async def test_what_was_approved_is_carried_out_and_verified(self, hours: float) -> None:
        runbook = Runbook()
        await runbook.see(event(1, BROKEN))
        await runbook.say_yes()
        runbook.clock.advance(hours=hours)
        await runbook.worker.drain()
        assert await setting(runbook) == "killed"
        runbook.clock.advance(hours=hours)
        await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        assert (await runbook.mitigation()).state is EFFECTIVE

    async def test_a_jump_back_ends_no_kill_early_and_a_jump_ahead_asks_first(
        self, runbook: Runbook
    ) -> None:
        runbook.clock.advance(hours=-10)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is EFFECTIVE
        runbook.clock.advance(hours=10 + 24.5)
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is EFFECTIVE
        assert "has lapsed: renew it" in (await runbook.incident()).advice

    async def test_a_jump_ahead_denies_a_proposal(self) -> None:
        runbook = Runbook()
        await runbook.see(event(1, BROKEN))
        runbook.clock.advance(days=400)
        await runbook.expire()
        assert (await runbook.mitigation()).state is MitigationState.EXPIRED
        assert await setting(runbook) == "served"
