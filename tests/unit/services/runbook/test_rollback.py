"""Checkpoint rollbacks from the policy to the verification, and remarks of policies."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runbook.adapters.actuators.by_kind import ByKind
from services.runbook.adapters.actuators.dry_rollback import DryRollback
from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.domain.facts import WHEN_FIELDS
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.policy import Action, Mode, Policy
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.rollback import (
    Registered,
    RegisteredCheckpoint,
    rollback_target,
)
from services.runbook.ports import Actuator
from tests.unit.services.runbook.builders import (
    BROKEN,
    EVENT_TIME,
    HEALTHY,
    Runbook,
    event,
    policy,
    rules,
)


@dataclass
class KnownRegistry:
    """Answers with what it was given."""

    found: Registered

    async def registered(self, model: str) -> Registered:
        return self.found


class Switches(ByKind, DryRun):
    """Dry runs of both kinds."""

    def __init__(self) -> None:
        DryRun.__init__(self)
        both: dict[MitigationKind, Actuator] = {
            MitigationKind.KILL_SWITCH: DryRun(),
            MitigationKind.CHECKPOINT_ROLLBACK: DryRollback(),
        }
        ByKind.__init__(self, both)


def versions(serving: str, **days: float | None) -> Registered:
    """Versions `v{n}`, trained until so many days after the first window."""
    return Registered(
        serving,
        tuple(
            RegisteredCheckpoint(
                name[1:], None if day is None else EVENT_TIME + timedelta(days=day)
            )
            for name, day in days.items()
        ),
    )


def back(mode: Mode = Mode.SUGGEST, action: Action = Action.ROLLBACK, note: str = "") -> Policy:
    when = CelConditions().compile("calibration.anomalous", WHEN_FIELDS)
    kept = replace(policy(mode), name="back", action=action, features=None, note=note)
    return replace(kept, when=when)


def a_runbook(registered: Registered | None, *policies: Policy) -> Runbook:
    runbook = Runbook(actuator=Switches())
    if registered is not None:
        runbook.registry = KnownRegistry(registered)
        runbook.worker = runbook.new_worker()
    runbook.rules.rules = rules(*policies)
    return runbook


async def test_a_rollback_is_proposed_approved_applied_and_verified() -> None:
    runbook = a_runbook(versions("3", v1=-20, v2=-10, v3=-5, v4=1), back())
    await runbook.see(event(1, BROKEN))
    mitigation = await runbook.mitigation()
    plan = mitigation.plan
    assert (plan.kind, plan.checkpoint, plan.replaces) == (
        MitigationKind.CHECKPOINT_ROLLBACK,
        "2",
        "3",
    )
    assert mitigation.preview == MissingPreview("attribution does not hold version 2")
    await runbook.say_yes()
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.APPLIED
    assert await runbook.actuator.observe(plan) == {"checkpoint": "2"}
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    assert (await runbook.mitigation()).state is MitigationState.EFFECTIVE


async def test_a_rollback_that_does_not_help_is_taken_back() -> None:
    runbook = a_runbook(versions("3", v2=-10, v3=-5), back())
    await runbook.see(event(1, BROKEN))
    await runbook.say_yes()
    await runbook.worker.drain()
    await runbook.see(event(2, BROKEN), event(3, BROKEN))
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.REVERTED
    assert await runbook.actuator.observe(mitigation.plan) == {"checkpoint": "3"}


@pytest.mark.parametrize(("mode", "state"), [(Mode.SUGGEST, "PROPOSED"), (Mode.APPLY, "APPLIED")])
async def test_a_checkpoint_that_attribution_holds_is_previewed(mode: Mode, state: str) -> None:
    runbook = a_runbook(versions("3", v2=-10, v3=-5), back(mode))
    runbook.previews.replacements["2"] = 1.04 / BROKEN
    await runbook.see(event(1, BROKEN))
    mitigation = await runbook.mitigation()
    assert isinstance(mitigation.preview, Preview)
    assert mitigation.preview.calibration == pytest.approx(1.04)
    assert mitigation.preview.lower < 1.04 < mitigation.preview.upper
    assert mitigation.state == state


async def test_a_checkpoint_that_predicts_no_better_is_not_gone_back_to() -> None:
    runbook = a_runbook(versions("3", v2=-10, v3=-5), back())
    runbook.previews.replacements["2"] = 1.0
    await runbook.see(event(1, BROKEN))
    incident = await runbook.incident()
    assert incident.mitigations == ()
    assert "To serve checkpoint 2 instead of 3 would not help enough" in incident.advice


async def test_no_preview_no_approval_by_a_policy() -> None:
    runbook = a_runbook(versions("3", v2=-10, v3=-5), back(Mode.APPLY))
    await runbook.see(event(1, BROKEN))
    assert (await runbook.mitigation()).state is MitigationState.PROPOSED


@pytest.mark.parametrize(
    ("registered", "why"),
    [
        (None, "no model registry is configured"),
        (versions("3", v3=-5, v4=-6.5, v5=None), None),
        (versions("3", v3=-5, v5=None), "no checkpoint older than 3"),
        (versions("1", v1=-50, v2=-40), "no checkpoint older than 1"),
    ],
)
async def test_what_cannot_be_gone_back_to_is_said(
    registered: Registered | None, why: str | None
) -> None:
    runbook = a_runbook(registered, back())
    await runbook.see(event(1, BROKEN))
    incident = await runbook.incident()
    assert bool(incident.mitigations) is (why is None)
    assert why is None or why in incident.advice


async def test_a_policy_that_cannot_go_back_leaves_it_to_the_next() -> None:
    runbook = a_runbook(None, back(), policy())
    await runbook.see(event(1, BROKEN))
    assert (await runbook.mitigation()).plan.features == ("user_embedding",)


async def test_an_annotation_is_made_once_and_decides_nothing() -> None:
    said = back(action=Action.ANNOTATE, note="ask the pipeline's owners")
    runbook = a_runbook(None, said, policy())
    await runbook.see(event(1, BROKEN))
    await runbook.say_no()
    await runbook.see(event(2, BROKEN))
    incident = await runbook.incident()
    notes = [e for e in incident.timeline if e.actor == "policy:back"]
    assert [note.message for note in notes] == ["ask the pipeline's owners"]
    assert len(incident.mitigations) == 1


def test_the_hash_of_a_kill_switch_is_as_it_was() -> None:
    kill = Plan("INC-1", "models/ads_ctr", MitigationKind.KILL_SWITCH, ("a",))
    assert kill.hash == ("aab1788ecd349e6a7a959e4b28907be7871f7bbedcde5e3213a91eefce1ecbd0")
    roll = Plan("INC-1", "m", MitigationKind.CHECKPOINT_ROLLBACK, checkpoint="1", replaces="2")
    assert roll.hash != replace(roll, checkpoint="3").hash != replace(roll, replaces="4").hash


@given(
    st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=6), st.integers(-9, 9)
)
def test_the_target_is_the_newest_that_can_be_gone_back_to(
    days: list[int | None], since: int
) -> None:
    known = versions("0", **{f"v{number}": day for number, day in enumerate(days)})
    corrupted = EVENT_TIME + timedelta(days=since)
    served = days[0]
    ways = {
        str(number): day
        for number, day in enumerate(days)
        if number and day is not None and day <= since and (served is None or day <= served)
    }
    target = rollback_target(known, corrupted)
    assert (target is None) == (not ways)
    assert target is None or ways[target] == max(ways.values())
