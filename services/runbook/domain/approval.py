"""Who may decide on a mitigation, and about which plan."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.errors import DecisionRefused, NotAnApprover, StalePlan
from services.runbook.domain.mitigation import (
    IN_FORCE,
    PENDING,
    Mitigation,
    MitigationState,
    Transition,
    etag_of,
)


@dataclass(frozen=True)
class Expert:
    """Somebody who takes a decision, as identified at the moment of the decision."""

    name: str
    may_approve: bool
    """Holds the role `approver`."""


@dataclass(frozen=True)
class Answer:
    """An expert's decision on a proposal."""

    mitigation: str
    """Its id within the incident."""
    expert: Expert
    plan_hash: str
    """Of the plan and the preview that the expert saw."""
    reason: str


@dataclass(frozen=True)
class Recall:
    """An expert's wish to undo a mitigation."""

    mitigation: str
    """Its id within the incident."""
    expert: Expert
    reason: str


@dataclass(frozen=True)
class Wish:
    """An expert's wish about a mitigation in force."""

    mitigation: str
    """Its id within the incident."""
    expert: Expert
    reason: str
    etag: str = ""
    """Of the mitigation that the expert looked at; empty: they mean it whatever it is now."""


def check_role(expert: Expert) -> None:
    """Raise NotAnApprover unless the expert holds the role."""
    if not expert.may_approve:
        raise NotAnApprover(f"{expert.name} does not hold the role 'approver'")


def check_answer(mitigation: Mitigation, answer: Answer, time: datetime) -> None:
    """Check that a proposal can be answered, now, by this expert, about this plan.

    Raises:
        NotAnApprover: the expert lacks the role, or proposed it.
        StalePlan: the expert saw another plan, or another preview of it.
        DecisionRefused: it is answered already, or has expired.
    """
    expert = answer.expert
    check_role(expert)
    if answer.plan_hash != mitigation.plan_hash:
        raise StalePlan(
            f"{mitigation.name} now plans to {mitigation.plan} with the preview "
            f"{mitigation.preview} (plan_hash {mitigation.plan_hash}): look at it again and decide "
            "on that",
            field="plan_hash",
        )
    if mitigation.state is not MitigationState.PROPOSED:
        raise DecisionRefused(_too_late(mitigation))
    if time >= mitigation.expire_time:
        raise DecisionRefused(
            f"{mitigation.name} expired at {mitigation.expire_time:%Y-%m-%d %H:%M:%S} UTC: "
            "it is proposed anew with the next anomalous window"
        )
    if expert.name == mitigation.proposer:
        raise NotAnApprover(f"{expert.name} proposed {mitigation.name}: somebody else must decide")


def check_wish(mitigation: Mitigation, wish: Wish) -> None:
    """Check that an expert may decide on a mitigation in force, and on what they saw of it.

    Raises:
        NotAnApprover: the expert lacks the role, or proposed it.
        StalePlan: it has changed since they looked.
    """
    check_role(wish.expert)
    if wish.expert.name == mitigation.proposer:
        raise NotAnApprover(
            f"{wish.expert.name} proposed {mitigation.name}: somebody else must decide"
        )
    if wish.etag not in {"", mitigation.etag}:
        raise StalePlan(
            f"{mitigation.name} has changed since it was looked at, and is {mitigation.state} now: "
            "look at it again and decide on that",
            field="etag",
        )


def repeats_approval(mitigation: Mitigation, answer: Answer) -> bool:
    """Whether this approval was given before, by the same expert, and still stands."""
    stands = mitigation.state in (PENDING | IN_FORCE) - {
        MitigationState.REVERTING,
        MitigationState.FAILED,
    }
    return stands and any(_repeats(yes, mitigation, answer) for yes in mitigation.approvals)


def repeats_rejection(mitigation: Mitigation, answer: Answer) -> bool:
    """Whether this rejection was given before, by the same expert."""
    return _repeats(mitigation.passage(MitigationState.REJECTED), mitigation, answer)


def repeats_wish(mitigation: Mitigation, wish: Wish) -> bool:
    """Whether the same expert wished the same when it was as they saw it, and it was done."""
    last = mitigation.history[-1]
    same = (last.actor, last.reason) == (wish.expert.name, wish.reason)
    return bool(wish.etag) and same and wish.etag == etag_of(mitigation.history[:-1])


def repeats_recall(mitigation: Mitigation, recall: Recall) -> bool:
    """Whether the same expert asked before, and it is being undone or is undone."""
    undone = mitigation.state in {MitigationState.REVERTING, MitigationState.REVERTED}
    began = mitigation.passage(MitigationState.REVERTING) or mitigation.history[-1]
    return undone and began.actor == recall.expert.name


def _repeats(given: Transition | None, mitigation: Mitigation, answer: Answer) -> bool:
    same_plan = answer.plan_hash == mitigation.plan_hash
    return given is not None and given.actor == answer.expert.name and same_plan


def _too_late(mitigation: Mitigation) -> str:
    answers = (MitigationState.APPROVED, MitigationState.REJECTED, MitigationState.EXPIRED)
    taken = next(passage for state in answers if (passage := mitigation.passage(state)))
    return (
        f"{mitigation.name} was {taken.after} by {taken.actor} at {taken.time:%Y-%m-%d %H:%M:%S} "
        f"UTC and is now {mitigation.state}: there is nothing left to decide"
    )
