"""Actions happen once, whatever goes wrong in between."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest

from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.memory_incidents import MemoryStore
from services.runbook.domain.approval import Expert
from services.runbook.domain.errors import ActuatorRefused, ActuatorUnavailable, StoreUnavailable
from services.runbook.domain.guardrail import FreezeWindow, GuardRails
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import KILLED, SERVED, Change, Plan, Settings
from services.runbook.domain.work import WorkKind
from services.runbook.ports import UnitOfWork
from tests.unit.services.runbook.builders import BROKEN, Runbook, Unreliable, event, rules

T = TypeVar("T")
DOWN: list[BaseException] = [ActuatorUnavailable(f"down {attempt}") for attempt in range(3)]


async def approved(actuator: Unreliable | None = None) -> Runbook:
    runbook = Runbook(actuator=actuator or Unreliable())
    await runbook.see(event(1, BROKEN))
    await runbook.say_yes()
    return runbook


async def in_force(runbook: Runbook) -> Settings:
    return await runbook.actuator.observe((await runbook.mitigation()).plan)


async def retried(runbook: Runbook, times: int = 1) -> None:
    for _ in range(times):
        await runbook.worker.drain()
        runbook.clock.advance(minutes=2)
    await runbook.worker.drain()


async def test_a_worker_that_starts_later_finds_the_work() -> None:
    runbook = await approved()
    runbook.clock.advance(hours=1)
    await runbook.new_worker().drain()
    assert (await runbook.mitigation()).state is MitigationState.APPLIED


async def test_work_that_is_held_is_not_done_twice() -> None:
    actuator = Unreliable()
    runbook = await approved(actuator)
    await asyncio.gather(*(runbook.new_worker().drain() for _ in range(5)))
    assert actuator.calls["apply"] == 1
    assert (await runbook.mitigation()).state is MitigationState.APPLIED


@pytest.mark.parametrize("moment", ["plan", "apply", "applied"])
async def test_a_worker_that_dies_leaves_the_effect_wanted_once(moment: str) -> None:
    runbook = await approved(Unreliable({moment: [asyncio.CancelledError()]}))
    with pytest.raises(asyncio.CancelledError):
        await runbook.new_worker().drain()
    # Its lease has not lapsed: nobody else acts yet.
    await runbook.new_worker().drain()
    assert (await runbook.mitigation()).state is not MitigationState.APPLIED
    runbook.clock.advance(minutes=1)
    await runbook.new_worker().drain()
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.APPLIED
    assert await in_force(runbook) == {"user_embedding": KILLED}
    assert mitigation.change == Change({"user_embedding": SERVED}, {"user_embedding": KILLED})


async def test_an_answer_that_is_lost_is_asked_for_again() -> None:
    actuator = Unreliable({"applied": DOWN[:2]})
    runbook = await approved(actuator)
    await retried(runbook, 2)
    assert actuator.calls["apply"] == 3
    assert (await runbook.mitigation()).state is MitigationState.APPLIED


async def test_an_effect_that_cannot_be_confirmed_is_undone() -> None:
    runbook = await approved(Unreliable({"applied": DOWN[:]}))
    await retried(runbook, 3)
    assert (await runbook.mitigation()).state is MitigationState.REVERTED
    assert await in_force(runbook) == {"user_embedding": SERVED}
    assert "down 2" in (await runbook.incident()).advice


async def test_an_actuator_that_never_answers_before_anything_began_changes_nothing() -> None:
    actuator = Unreliable({"plan": DOWN[:]})
    runbook = await approved(actuator)
    await retried(runbook, 3)
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.CONFLICTED
    assert mitigation.change is None
    assert actuator.calls["apply"] == 0


async def test_what_cannot_be_undone_is_given_to_a_person_who_may_try_again() -> None:
    runbook = await approved(Unreliable({"revert": DOWN[:]}))
    await runbook.worker.drain()
    await runbook.take_back()
    await retried(runbook, 3)
    assert (await runbook.mitigation()).state is MitigationState.FAILED
    assert "needs a person" in (await runbook.incident()).advice
    await runbook.take_back(Expert("grace", may_approve=True))
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.REVERTED


@pytest.mark.parametrize(
    ("moment", "state"),
    [("plan", MitigationState.CONFLICTED), ("apply", MitigationState.FAILED)],
)
async def test_a_refusal_is_final(moment: str, state: MitigationState) -> None:
    actuator = Unreliable({moment: [ActuatorRefused("no such feature")]})
    runbook = await approved(actuator)
    await retried(runbook)
    assert actuator.calls[moment] == 1
    assert (await runbook.mitigation()).state is state
    assert "no such feature" in (await runbook.incident()).advice


async def test_a_ground_that_changed_since_the_plan_is_a_conflict() -> None:
    actuator = Unreliable({"apply": DOWN[:1]})
    runbook = await approved(actuator)
    await runbook.worker.drain()
    planned = await runbook.mitigation()
    assert planned.change is not None
    await actuator.inner.apply("somebody else", planned.plan, planned.change)
    await retried(runbook)
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.CONFLICTED
    assert "somebody else switched user_embedding" in mitigation.reason
    assert await in_force(runbook) == {"user_embedding": KILLED}


async def test_guard_rails_hold_at_the_moment_of_acting() -> None:
    runbook = await approved()
    runbook.rules.rules = rules(guard_rails=GuardRails(never_kill=("user_embedding",)))
    await runbook.worker.drain()
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.CONFLICTED
    assert "never_kill" in mitigation.reason
    assert await in_force(runbook) == {"user_embedding": SERVED}


class Leaving(MemoryStore):
    """Takes so many more transactions and then none."""

    left = 1000

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        if not self.left:
            raise StoreUnavailable("the database is gone")
        self.left -= 1
        return await super().transact(work)


async def test_what_a_guard_rail_holds_back_ends_in_the_transaction_that_looked() -> None:
    store = Leaving(ChangeSignal())
    runbook = Runbook(store, Unreliable())
    await runbook.see(event(1, BROKEN))
    await runbook.say_yes()
    await runbook.pause()
    # To claim the work, and to look: a pause that ends now changes nothing any more.
    store.left = 2
    await runbook.worker.drain()
    store.left = 1000
    await runbook.pause(on=False)
    await runbook.worker.drain()
    mitigation = (await runbook.incident()).mitigation("1")
    assert mitigation.state is MitigationState.CONFLICTED
    assert "paused" in mitigation.reason


async def test_a_freeze_that_began_meanwhile_holds_and_taking_back_stays_possible() -> None:
    runbook = await approved()
    now = runbook.clock.now()
    freeze = FreezeWindow(now, now + timedelta(hours=1), "the sale")
    frozen = rules(guard_rails=GuardRails(freeze_windows=(freeze,)))
    runbook.rules.rules = frozen
    await runbook.worker.drain()
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.CONFLICTED
    assert "freeze_windows" in mitigation.reason
    assert await in_force(runbook) == {"user_embedding": SERVED}
    applied = await approved()
    await applied.worker.drain()
    applied.rules.rules = frozen
    await applied.take_back()
    await applied.worker.drain()
    assert (await applied.mitigation()).state is MitigationState.REVERTED


async def test_the_cap_counts_what_another_model_has_off() -> None:
    runbook = Runbook()
    runbook.rules.rules = rules(guard_rails=GuardRails(most_features_killed=1))
    await runbook.see(event(1, BROKEN), event(1, BROKEN, model="models/feed"))
    await runbook.say_yes()
    await runbook.say_yes(incident_id="INC-2")
    await runbook.worker.drain()
    assert (await runbook.mitigation("INC-1")).state is MitigationState.APPLIED
    assert (await runbook.mitigation("INC-2")).state is MitigationState.CONFLICTED


async def test_taking_back_while_it_is_applied_waits_and_then_undoes() -> None:
    runbook = await approved(Unreliable({"applied": DOWN[:1]}))
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.APPLYING
    await runbook.take_back()
    # The application is still wanted: nothing overtakes it.
    kinds = (WorkKind.REVERT,)
    now = runbook.clock.now()
    assert not await runbook.store.read(lambda unit: unit.outbox.due(kinds, now))
    await retried(runbook)
    assert (await runbook.mitigation()).state is MitigationState.REVERTED
    assert await in_force(runbook) == {"user_embedding": SERVED}


async def test_taking_back_in_the_middle_of_applying_undoes_at_once() -> None:
    class Interrupted(DryRun):
        async def apply(self, key: str, plan: Plan, change: Change) -> None:
            await super().apply(key, plan, change)
            await runbook.take_back()

    runbook = Runbook(actuator=Interrupted())
    await runbook.see(event(1, BROKEN))
    await runbook.say_yes()
    await runbook.worker.drain()
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.REVERTED
    assert MitigationState.APPLIED not in {step.after for step in mitigation.history}
    assert await in_force(runbook) == {"user_embedding": SERVED}


async def test_a_silent_actuator_is_given_up_on() -> None:
    class Silent(DryRun):
        async def apply(self, key: str, plan: Plan, change: Change) -> None:
            await asyncio.sleep(3600)

    runbook = Runbook(actuator=Silent())
    act = runbook.worker.table[WorkKind.APPLY]
    object.__setattr__(act, "patience", 0.01)
    await runbook.see(event(1, BROKEN))
    await runbook.say_yes()
    await retried(runbook, 3)
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.REVERTED
    assert "no answer within 0.01 s" in [step.reason for step in mitigation.history]
