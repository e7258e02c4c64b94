"""Who may say yes or no, about what, and until when."""

import re
from dataclasses import replace

import pytest

from services.runbook.domain.approval import Answer, Expert, Recall
from services.runbook.domain.errors import (
    DecisionRefused,
    IncidentNotFound,
    InvalidTransition,
    MitigationNotFound,
    NotAnApprover,
    StalePlan,
)
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.preview import Alternative, MissingPreview, Preview
from tests.unit.services.runbook.builders import BROKEN, EXPERT, Runbook, event

OTHER = Expert("grace", may_approve=True)


@pytest.fixture
async def runbook() -> Runbook:
    started = Runbook()
    await started.see(event(1, BROKEN))
    return started


async def test_a_yes_is_recorded_and_a_worker_acts(runbook: Runbook) -> None:
    assert (await runbook.say_yes()).state is MitigationState.APPROVED
    assert (await runbook.mitigation()).approver == "ada"
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.APPLIED


async def test_the_same_yes_again_changes_nothing(runbook: Runbook) -> None:
    await runbook.say_yes()
    assert (await runbook.say_yes()).state is MitigationState.APPROVED
    await runbook.worker.drain()
    again = await runbook.say_yes()
    assert again.state is MitigationState.APPLIED
    assert again == await runbook.mitigation()


async def test_another_experts_yes_is_refused_with_who_was_first(runbook: Runbook) -> None:
    await runbook.say_yes()
    with pytest.raises(DecisionRefused, match="was APPROVED by ada at 2026-11-22 03:12:00"):
        await runbook.say_yes(OTHER)


async def test_a_yes_after_it_was_undone_is_no_repetition(runbook: Runbook) -> None:
    await runbook.say_yes()
    await runbook.worker.drain()
    await runbook.take_back()
    with pytest.raises(DecisionRefused, match="is now REVERTING"):
        await runbook.say_yes()


async def test_a_no_is_final(runbook: Runbook) -> None:
    assert (await runbook.say_no()).state is MitigationState.REJECTED
    assert (await runbook.say_no()).state is MitigationState.REJECTED
    with pytest.raises(DecisionRefused, match="was REJECTED by ada"):
        await runbook.say_yes(OTHER)
    with pytest.raises(DecisionRefused, match="was REJECTED by ada"):
        await runbook.say_no(OTHER)


@pytest.mark.parametrize("decide", ["approve", "reject"])
async def test_a_decision_about_another_plan_is_refused(runbook: Runbook, decide: str) -> None:
    with pytest.raises(StalePlan) as refusal:
        await getattr(runbook, decide)("INC-1", Answer("1", EXPERT, "0" * 64, "why not"))
    assert refusal.value.field == "plan_hash"
    assert (await runbook.mitigation()).plan_hash in str(refusal.value)
    assert (await runbook.mitigation()).state is MitigationState.PROPOSED


@pytest.mark.parametrize(
    "shown",
    [
        Preview(1.03, 0.99, 1.07, 2000),
        Preview(1.02, 0.99, 1.07, 2000),
        Preview(1.03, 0.99, 1.07, 2000, (Alternative((), 1.31, 1.2, 1.4),)),
        MissingPreview("the sample has expired"),
    ],
)
async def test_a_decision_under_other_figures_is_refused(
    runbook: Runbook, shown: Preview | MissingPreview
) -> None:
    proposed = await runbook.mitigation()
    before = replace(proposed, preview=shown)
    answer = Answer(proposed.id, EXPERT, before.plan_hash, "as I saw it")
    with pytest.raises(StalePlan, match=f"preview {re.escape(str(proposed.preview))}"):
        await runbook.approve("INC-1", answer)
    assert before.plan.hash == proposed.plan.hash
    seen = Answer(proposed.id, EXPERT, proposed.plan_hash, "as it is")
    assert (await runbook.approve("INC-1", seen)).state is MitigationState.APPROVED


async def test_deciding_takes_the_role(runbook: Runbook) -> None:
    reader = Expert("eve", may_approve=False)
    for decide in (runbook.say_yes, runbook.say_no, runbook.take_back):
        with pytest.raises(NotAnApprover, match="approver"):
            await decide(reader)


async def test_nobody_decides_on_their_own_proposal(runbook: Runbook) -> None:
    itself = Expert("policy:threshold", may_approve=True)
    for decide in (runbook.say_yes, runbook.say_no):
        with pytest.raises(NotAnApprover, match="proposed"):
            await decide(itself)
    assert (await runbook.mitigation()).state is MitigationState.PROPOSED


async def test_silence_is_a_no(runbook: Runbook) -> None:
    runbook.clock.advance(minutes=29)
    await runbook.expire()
    assert (await runbook.mitigation()).state is MitigationState.PROPOSED
    runbook.clock.advance(minutes=1)
    await runbook.expire()
    expired = await runbook.mitigation()
    assert expired.state is MitigationState.EXPIRED
    assert "Nobody answered" in (await runbook.incident()).advice
    with pytest.raises(DecisionRefused, match="was EXPIRED by runbook"):
        await runbook.say_yes()


async def test_a_late_yes_is_refused_even_before_it_was_marked(runbook: Runbook) -> None:
    runbook.clock.advance(minutes=30)
    with pytest.raises(DecisionRefused, match="expired at 2026-11-22 03:42:00 UTC"):
        await runbook.say_yes()


async def test_an_approved_mitigation_does_not_expire(runbook: Runbook) -> None:
    await runbook.say_yes()
    runbook.clock.advance(hours=2)
    await runbook.expire()
    assert (await runbook.mitigation()).state is MitigationState.APPROVED


async def test_what_there_is_not(runbook: Runbook) -> None:
    with pytest.raises(IncidentNotFound, match="INC-7"):
        await runbook.approve("INC-7", Answer("1", EXPERT, "0" * 64, ""))
    with pytest.raises(MitigationNotFound, match="it has 1"):
        await runbook.approve("INC-1", Answer("2", EXPERT, "0" * 64, ""))


async def test_only_what_is_in_force_can_be_taken_back(runbook: Runbook) -> None:
    with pytest.raises(InvalidTransition, match="is PROPOSED and cannot become REVERTING"):
        await runbook.take_back()


async def test_what_is_not_begun_is_withdrawn_without_a_trace_in_the_world(
    runbook: Runbook,
) -> None:
    await runbook.say_yes()
    assert (await runbook.take_back()).state is MitigationState.REVERTED
    await runbook.worker.drain()
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.REVERTED
    assert mitigation.change is None


async def test_taking_back(runbook: Runbook) -> None:
    await runbook.say_yes()
    await runbook.worker.drain()
    assert (await runbook.take_back()).state is MitigationState.REVERTING
    assert (await runbook.take_back()).state is MitigationState.REVERTING
    await runbook.worker.drain()
    reverted = await runbook.mitigation()
    assert reverted.state is MitigationState.REVERTED
    assert (await runbook.actuator.observe(reverted.plan)) == {"user_embedding": "served"}
    assert await runbook.take_back() == reverted
    with pytest.raises(InvalidTransition, match="it is final"):
        await runbook.revert("INC-1", Recall("1", OTHER, "me too"))
