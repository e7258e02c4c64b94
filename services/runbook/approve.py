"""An expert says yes. This records it; a worker acts."""

from dataclasses import dataclass, replace
from datetime import datetime

from services.runbook.domain.approval import Answer, check_answer, check_role, repeats_approval
from services.runbook.domain.blast_radius import blast_radius
from services.runbook.domain.errors import GuardRailRefused, MitigationsPaused
from services.runbook.domain.guardrail import BUDGET_TIME, GuardRails
from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.work import Work, WorkKind
from services.runbook.ports import Clock, PolicySource, Store, UnitOfWork


@dataclass(frozen=True)
class Approve:
    """Approves a proposal. The same yes of the same expert, given again, changes nothing."""

    store: Store
    policies: PolicySource
    clock: Clock

    async def __call__(self, incident_id: str, answer: Answer) -> Mitigation:
        """Return the mitigation as it is after the answer.

        Raises:
            IncidentNotFound, MitigationNotFound: no such proposal.
            NotAnApprover: the expert may not decide on it.
            StalePlan: the expert saw another plan.
            DecisionRefused: it is decided already, or expired.
            MitigationsPaused, GuardRailRefused: nobody may approve it just now.
        """
        rails, time = self.policies.current().guard_rails, self.clock.now()
        return await self.store.transact(
            lambda unit: _approve(unit, incident_id, answer, rails, time)
        )


def _approve(
    unit: UnitOfWork, incident_id: str, answer: Answer, rails: GuardRails, time: datetime
) -> Mitigation:
    check_role(answer.expert)
    incident = unit.incidents.get(incident_id)
    mitigation = incident.mitigation(answer.mitigation)
    if repeats_approval(mitigation, answer):
        return mitigation
    check_answer(mitigation, answer, time)
    _check_rails(unit, mitigation, rails, time)
    # Counted by today's rules, not by those of the proposal.
    radius = blast_radius(mitigation.plan, incident.comparison, mitigation.downstream)
    needed = rails.required_approvals(radius)
    counted = incident.with_mitigation(replace(mitigation, required_approvals=needed))
    approved = _with_yes(counted, mitigation, answer, needed, time)
    unit.incidents.save(approved)
    after = approved.mitigation(mitigation.id)
    if after.state is MitigationState.APPROVED:
        unit.outbox.put(Work(WorkKind.APPLY, incident.id, mitigation.id))
    return after


def _check_rails(
    unit: UnitOfWork, mitigation: Mitigation, rails: GuardRails, time: datetime
) -> None:
    circumstances = unit.restraints.circumstances(time - BUDGET_TIME)
    if circumstances.pause.is_on:
        raise MitigationsPaused(f"{circumstances.pause}; reject it, or wait until they resume")
    if refusal := rails.refusal(mitigation.plan, circumstances, time):
        raise GuardRailRefused(f"nobody may {mitigation.plan} just now: {refusal}")


def _with_yes(
    incident: Incident, mitigation: Mitigation, answer: Answer, needed: int, time: datetime
) -> Incident:
    name, given = answer.expert.name, len(mitigation.approvals) + 1
    enough = given >= needed
    count = f"{given} of {needed} approvals"
    reasons = (count if needed > 1 else "", answer.reason)
    moved = incident.moved(
        mitigation.id,
        MitigationState.APPROVED if enough else MitigationState.PROPOSED,
        actor=name,
        time=time,
        reason=": ".join(filter(None, reasons)),
        told="" if enough else "one more yes",
    )
    if enough:
        return moved.advised(f"Approved by {name}: about to {mitigation.plan}.")
    return moved.advised(
        f"{count}: {mitigation.plan}. Another approver decides, until "
        f"{mitigation.expire_time:%H:%M} UTC."
    )
