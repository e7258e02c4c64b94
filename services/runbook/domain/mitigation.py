"""A reversible act and the state machine that it lives in."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.runbook.domain.blast_radius import NOT_ASKED, Downstream
from services.runbook.domain.errors import InvalidTransition
from services.runbook.domain.plan import Change, Plan
from services.runbook.domain.preview import MissingPreview, Preview


class MitigationState(StrEnum):
    """Where a mitigation is."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    APPLYING = "APPLYING"
    APPLIED = "APPLIED"
    VERIFYING = "VERIFYING"
    EFFECTIVE = "EFFECTIVE"
    RELEASED = "RELEASED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"
    REVERTING = "REVERTING"
    REVERTED = "REVERTED"
    CONFLICTED = "CONFLICTED"
    RELEASING = "RELEASING"


_S = MitigationState

ALLOWED: Mapping[MitigationState, frozenset[MitigationState]] = {
    # One yes of several that are needed leaves it where it is.
    _S.PROPOSED: frozenset({_S.PROPOSED, _S.APPROVED, _S.REJECTED, _S.EXPIRED}),
    # Approved work is withdrawn without ever having been applied, or finds the ground changed.
    _S.APPROVED: frozenset({_S.APPLYING, _S.CONFLICTED, _S.REVERTED}),
    # An effect that cannot be confirmed is undone: it may have happened.
    _S.APPLYING: frozenset({_S.APPLIED, _S.CONFLICTED, _S.FAILED, _S.REVERTING}),
    # Whoever renews a lease leaves the mitigation where it is.
    _S.APPLIED: frozenset({_S.APPLIED, _S.VERIFYING, _S.REVERTING}),
    _S.VERIFYING: frozenset({_S.VERIFYING, _S.EFFECTIVE, _S.REVERTING}),
    _S.EFFECTIVE: frozenset({_S.EFFECTIVE, _S.RELEASING, _S.REVERTING}),
    # Stage by stage; what is worse with a share of traffic is put in force again.
    _S.RELEASING: frozenset({_S.RELEASING, _S.RELEASED, _S.APPLYING, _S.REVERTING}),
    _S.REVERTING: frozenset({_S.REVERTED, _S.FAILED}),
    # A person may have the undoing tried again.
    _S.FAILED: frozenset({_S.REVERTING}),
    _S.RELEASED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.REVERTED: frozenset(),
    _S.CONFLICTED: frozenset(),
}
"""Every transition that there is."""

PENDING = frozenset({_S.PROPOSED, _S.APPROVED})
IN_FORCE = frozenset(
    {
        _S.APPLYING,
        _S.APPLIED,
        _S.VERIFYING,
        _S.EFFECTIVE,
        _S.RELEASING,
        _S.REVERTING,
        _S.FAILED,
    }
)
"""States in which the act has, or may have, its effect. FAILED: nobody knows."""
UNDER_WAY = PENDING | (IN_FORCE - {_S.EFFECTIVE, _S.RELEASING, _S.FAILED})
"""States in which the incident waits for this mitigation before it tries another."""
WATCHED = frozenset({_S.APPLIED, _S.VERIFYING, _S.RELEASING})
"""States in which later windows decide what becomes of it."""
BEGINNING = (_S.APPROVED, _S.APPLYING)
"""The transition that begins the act."""
LEASED = frozenset({_S.APPLIED, _S.VERIFYING, _S.EFFECTIVE})
"""States in which it lapses unless somebody renews it."""


@dataclass(frozen=True)
class Transition:
    """Who changed a state, when, and why. It is the audit record of the change."""

    before: str
    """Empty for the first."""
    after: str
    time: datetime
    actor: str
    reason: str


@dataclass(frozen=True)
class Stage:
    """How far a release has come."""

    percent: int
    """Of traffic that is served the features again."""
    since: datetime | None = None
    """Event time before which examples may have been scored at an earlier stage. None: the stage
    is not confirmed yet."""
    passed: bool = False
    """Calibration stayed healthy in it."""


@dataclass(frozen=True, kw_only=True)
class Mitigation:
    """A plan, its preview, and everything that happened to it.

    The history is the state: there is no way to change one without the other.
    """

    id: str
    plan: Plan
    preview: Preview | MissingPreview
    expire_time: datetime
    """When the proposal expires if nobody answers."""
    history: tuple[Transition, ...]
    change: Change | None = None
    """Recorded before the act: what it finds and what it puts in force."""
    applied_after: datetime | None = None
    """Event time before which examples may have been scored without the mitigation."""
    verified_calibration: float | None = None
    """Of the window that decided the verification."""
    required_approvals: int = 1
    """Distinct approvers that its blast radius takes."""
    escalated_to: tuple[str, ...] = ()
    """Whom silence has called."""
    lease_expire_time: datetime | None = None
    """When it lapses unless somebody renews it."""
    stage: Stage | None = None
    """Of its release, while one is under way or is being taken back."""
    downstream: Downstream = NOT_ASKED
    """Other models that feel it, as far as was known when it was proposed."""

    @property
    def name(self) -> str:
        """`incidents/{incident}/mitigations/{mitigation}`"""
        return f"incidents/{self.plan.incident}/mitigations/{self.id}"

    @property
    def plan_hash(self) -> str:
        """What a decision is bound to: SHA-256, in hexadecimal, of the plan and its preview."""
        shown = f"{self.plan.hash}.{self.preview.digest}"
        return hashlib.sha256(shown.encode()).hexdigest()

    @property
    def etag(self) -> str:
        """Changes with every change of the mitigation."""
        return etag_of(self.history)

    @property
    def state(self) -> MitigationState:
        """Where the mitigation is."""
        return MitigationState(self.history[-1].after)

    @property
    def reason(self) -> str:
        """Why it is there."""
        return self.history[-1].reason

    @property
    def proposer(self) -> str:
        """Who proposed it."""
        return self.history[0].actor

    @property
    def approver(self) -> str | None:
        """Who approved it."""
        approval = self.passage(MitigationState.APPROVED)
        return approval.actor if approval else None

    @property
    def approvals(self) -> tuple[Transition, ...]:
        """Every yes, in order."""
        ways = {(_S.PROPOSED, _S.PROPOSED), (_S.PROPOSED, _S.APPROVED)}
        return tuple(step for step in self.history if (step.before, step.after) in ways)

    def passage(self, state: MitigationState) -> Transition | None:
        """Return the latest transition from another state into `state`."""
        steps = (t for t in reversed(self.history) if t.after == state != t.before)
        return next(steps, None)


def etag_of(history: Sequence[Transition]) -> str:
    """Return the etag of a mitigation to which that happened."""
    return str(len(history))


def propose(
    *,
    mitigation_id: str,
    plan: Plan,
    preview: Preview | MissingPreview,
    proposer: str,
    time: datetime,
    expire_time: datetime,
    reason: str,
    required_approvals: int = 1,
    downstream: Downstream = NOT_ASKED,
) -> Mitigation:
    """Return a new mitigation, PROPOSED."""
    first = Transition("", MitigationState.PROPOSED, time, proposer, reason)
    return Mitigation(
        id=mitigation_id,
        plan=plan,
        preview=preview,
        expire_time=expire_time,
        history=(first,),
        required_approvals=required_approvals,
        downstream=downstream,
    )


def transition(
    mitigation: Mitigation, to: MitigationState, *, actor: str, time: datetime, reason: str
) -> Mitigation:
    """Return the mitigation in its new state, with the transition in its history.

    Raises:
        InvalidTransition: the table has no such way. Names the state and the ways there are.
    """
    allowed = ALLOWED[mitigation.state]
    if to not in allowed:
        raise InvalidTransition(mitigation.name, mitigation.state, to, allowed)
    step = Transition(mitigation.state, to, time, actor, reason)
    return replace(mitigation, history=(*mitigation.history, step))
