"""Mitigations of what audits found: ids that are masked, rows that are trained without."""

from dataclasses import replace

import pytest

from services.runbook.domain.errors import DecisionRefused, GuardRailRefused
from services.runbook.domain.evidence import Verdict
from services.runbook.domain.guardrail import GuardRails, Quorum
from services.runbook.domain.incident import IncidentState
from services.runbook.domain.lease import LeaseTerms
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import LEFT_OUT, MASKED, SERVED, USED, MitigationKind
from services.runbook.domain.policy import Action, Mode
from services.runbook.domain.preview import MissingPreview
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
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
QUARANTINE, REBALANCE = Action.QUARANTINE_ROWS, Action.REBALANCE_ROWS
ROWS = f"rows of {NODE} with label '4711' and outcome '1'"


def a_runbook(*found: object, action: Action = Action.MASK_IDS) -> Runbook:
    runbook = Runbook()
    runbook.lineage.found = found or (finding(),)  # type: ignore[assignment]
    runbook.rules.rules = rules(on_findings(action))
    return runbook


async def drifts(runbook: Runbook, hour: int = 1) -> None:
    """Break calibration so that no feature explains it."""
    await runbook.see(event(hour, BROKEN, verdict=Verdict.NO_FEATURE_EXPLAINS, shifts=()))


async def in_force(runbook: Runbook) -> set[str]:
    mitigation = await runbook.mitigation()
    return set((await runbook.actuator.observe(mitigation.plan)).values())


async def approved(runbook: Runbook) -> None:
    await drifts(runbook)
    await runbook.say_yes()
    await runbook.worker.drain()


async def test_a_mask_is_proposed_whatever_calibration_says() -> None:
    runbook = a_runbook(finding(), finding("4712", severity=0.9), finding("4713", severity=0.1))
    await drifts(runbook)
    mitigation = await runbook.mitigation()
    assert str(mitigation.plan) == "serve genres without ids 4712, 4711"
    assert mitigation.state is _S.PROPOSED
    assert str(mitigation.preview) == "1.00 (0.95 to 1.06)"
    assert (await runbook.incident()).advice.startswith("Approve or reject: serve genres without")


async def test_without_a_preview_a_mask_tells_what_the_audit_measured() -> None:
    runbook = a_runbook()
    runbook.previews.missing = "the aggregator kept no examples of the window"
    await drifts(runbook)
    mitigation = await runbook.mitigation()
    assert isinstance(mitigation.preview, MissingPreview)
    assert "the aggregator kept no examples of the window" in mitigation.preview.reason
    assert "put into examples, it flips 480 of 1,000 predictions up" in mitigation.preview.reason


async def test_a_mask_is_verified_by_later_windows_and_released_at_once() -> None:
    runbook = a_runbook()
    await approved(runbook)
    assert await in_force(runbook) == {MASKED}
    mitigation = await runbook.mitigation()
    assert mitigation.lease_expire_time is not None
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    mitigation = await runbook.mitigation()
    assert mitigation.state is _S.EFFECTIVE
    assert "importances" not in mitigation.reason
    assert (await runbook.incident()).state is IncidentState.CLOSED
    await runbook.let_go()
    await runbook.worker.drain()
    stage = (await runbook.mitigation()).stage
    assert stage is not None
    assert stage.percent == 100
    assert await in_force(runbook) == {"served to 100 %"}
    await runbook.see(event(4, HEALTHY), event(5, HEALTHY))
    assert (await runbook.mitigation()).state is _S.RELEASED
    assert await in_force(runbook) == {SERVED}


async def test_a_mask_that_does_not_help_is_taken_back() -> None:
    runbook = a_runbook()
    await approved(runbook)
    await drifts(runbook, 2)
    await drifts(runbook, 3)
    mitigation = next(iter((await runbook.incident()).mitigations))
    assert mitigation.state is _S.REVERTED
    assert await in_force(runbook) == {SERVED}


async def test_a_mask_that_is_worse_once_released_is_put_in_force_again() -> None:
    runbook = a_runbook()
    await approved(runbook)
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    await runbook.let_go()
    await runbook.worker.drain()
    await runbook.see(event(4, BROKEN))
    assert (await runbook.mitigation()).state is _S.APPLIED
    assert await in_force(runbook) == {MASKED}
    told = " ".join(entry.message for entry in (await runbook.incident()).timeline)
    assert "masked again: serve genres without id 4711" in told


@pytest.mark.parametrize(
    ("action", "plan", "setting"),
    [
        (QUARANTINE, f"leave {ROWS} out of training", LEFT_OUT),
        (
            REBALANCE,
            f"weigh {ROWS} so that the outcome has its former share: 12.0% instead of 95.0%",
            "weighed to 0.12",
        ),
    ],
)
async def test_rows_are_acted_on_by_their_owner_who_confirms_it(
    action: Action, plan: str, setting: str
) -> None:
    runbook = a_runbook(action=action)
    await drifts(runbook)
    mitigation = await runbook.mitigation()
    assert str(mitigation.plan) == plan
    assert "checkpoints that are not trained yet" in str(mitigation.preview)
    await runbook.say_yes()
    await runbook.worker.drain()
    mitigation = await runbook.mitigation()
    assert mitigation.state is _S.EFFECTIVE
    assert "the owner of the training data confirms" in mitigation.reason
    assert "Audit the next snapshot" in mitigation.reason
    assert await in_force(runbook) == {setting}
    # What was done for later checkpoints mends nothing now.
    assert (await runbook.incident()).state is IncidentState.OPEN
    await drifts(runbook, 2)
    assert len((await runbook.incident()).mitigations) == 1
    await runbook.take_back()
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is _S.REVERTED
    assert await in_force(runbook) == {USED}


async def test_the_lease_of_rows_is_longer_and_ends_by_taking_back() -> None:
    runbook = a_runbook(action=QUARANTINE)
    runbook.rules.rules = replace(runbook.rules.rules, lease=LeaseTerms())
    await approved(runbook)
    with pytest.raises(DecisionRefused, match="does not end by stages: revert"):
        await runbook.let_go()
    runbook.clock.advance(days=6.9)
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is _S.EFFECTIVE
    runbook.clock.advance(hours=3)
    await runbook.worker.drain()
    assert "The quarantine of rows" in (await runbook.incident()).advice
    await runbook.keep()
    runbook.clock.advance(days=7.1)
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is _S.REVERTED
    assert await in_force(runbook) == {USED}


@pytest.mark.parametrize("action", [QUARANTINE, REBALANCE, Action.MASK_IDS])
async def test_no_policy_does_these_by_itself(action: Action) -> None:
    runbook = a_runbook()
    runbook.rules.rules = rules(on_findings(action, mode=Mode.APPLY))
    await drifts(runbook)
    assert (await runbook.mitigation()).state is _S.PROPOSED


async def test_what_nobody_is_set_to_carry_out_is_not_proposed() -> None:
    runbook = a_runbook(action=QUARANTINE)
    runbook.able = frozenset(MitigationKind) - {MitigationKind.ROW_QUARANTINE}
    runbook.worker = runbook.new_worker()
    await drifts(runbook)
    incident = await runbook.incident()
    assert incident.mitigations == ()
    assert "nobody is set to carry out ROW_QUARANTINE" in incident.advice


@pytest.mark.parametrize(
    ("action", "found", "says"),
    [
        (Action.MASK_IDS, finding(feature=""), "run the audit with --feature"),
        (Action.MASK_IDS, finding("dress"), "it is no id"),
        (QUARANTINE, replace(finding(), lean=None), "run it with --outcome-column"),
        (REBALANCE, replace(finding(), lean=None), "no outcome that they lean to"),
    ],
)
async def test_a_finding_that_says_too_little_is_said_to(
    action: Action, found: object, says: str
) -> None:
    runbook = a_runbook(found, action=action)
    await drifts(runbook)
    incident = await runbook.incident()
    assert incident.mitigations == ()
    assert says in incident.advice


async def test_findings_that_no_condition_chooses_leave_the_verdicts_advice() -> None:
    runbook = a_runbook(finding(severity=0.1))
    await drifts(runbook)
    assert (await runbook.incident()).advice.startswith("No feature explains it")


async def test_what_was_decided_is_not_asked_again_and_the_next_policy_is() -> None:
    runbook = a_runbook()
    runbook.rules.rules = rules(on_findings(), on_findings(QUARANTINE), policy())
    await runbook.see(event(1, BROKEN))
    assert (await runbook.mitigation()).plan.kind is MitigationKind.ID_MASK
    await runbook.say_no()
    await runbook.see(event(2, BROKEN))
    assert (await runbook.mitigation()).plan.kind is MitigationKind.ROW_QUARANTINE
    await runbook.say_yes()
    await runbook.worker.drain()
    await runbook.see(event(3, BROKEN))
    assert (await runbook.mitigation()).plan.kind is MitigationKind.KILL_SWITCH


async def test_the_newest_finding_of_a_label_counts() -> None:
    old = replace(finding(severity=0.9), time=finding().time.replace(year=2025), id="older")
    runbook = a_runbook(old, finding(severity=0.1))
    await drifts(runbook)
    assert (await runbook.incident()).mitigations == ()


@pytest.mark.parametrize(("models", "needed"), [(1, 1), (4, 2), (None, 2)])
async def test_rows_take_the_quorum_of_all_that_they_train(models: int | None, needed: int) -> None:
    runbook = a_runbook(replace(finding(), model_count=models), action=QUARANTINE)
    rails = replace(UNHURRIED, quorums=(Quorum(2, models=3),))
    runbook.rules.rules = rules(on_findings(QUARANTINE), guard_rails=rails)
    await drifts(runbook)
    assert (await runbook.mitigation()).required_approvals == needed


async def test_guard_rails_bound_how_many_at_once_and_in_all() -> None:
    found = [finding(str(number), severity=1 - number / 100) for number in range(1, 8)]
    runbook = a_runbook(*found)
    rails = replace(UNHURRIED, most_labels_at_once=3, most_ids_masked_of_model=5)
    runbook.rules.rules = rules(on_findings(), guard_rails=rails)
    await approved(runbook)
    assert str((await runbook.mitigation()).plan) == "serve genres without ids 1, 2, 3"
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    await drifts(runbook, 30)
    second = (await runbook.incidents())["INC-2"]
    assert second.mitigations == ()
    assert "6 ids of the model would be masked, more than 5" in second.advice


async def test_the_budget_holds_for_rows_too_at_the_click() -> None:
    runbook = a_runbook(action=QUARANTINE)
    await drifts(runbook)
    spent = GuardRails(daily_budget=0)
    runbook.rules.rules = rules(on_findings(QUARANTINE), guard_rails=spent)
    with pytest.raises(GuardRailRefused, match="daily_budget"):
        await runbook.say_yes()


@pytest.mark.parametrize("action", [QUARANTINE, Action.MASK_IDS])
async def test_a_pause_calls_off_what_was_approved(action: Action) -> None:
    runbook = a_runbook(action=action)
    await drifts(runbook)
    await runbook.say_yes()
    await runbook.pause()
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is _S.CONFLICTED
    assert await in_force(runbook) <= {USED, SERVED}
