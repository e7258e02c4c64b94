"""The policies look at an incident, and one of them may propose a mitigation."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.runbook.domain.blast_radius import blast_radius
from services.runbook.domain.errors import (
    ConditionFailed,
    PreviewUnavailable,
    RegistryUnavailable,
)
from services.runbook.domain.guardrail import BUDGET_TIME, Circumstances
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import MitigationState, propose
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.policy import Action, Rules
from services.runbook.domain.preview import MissingPreview, Preview, predict
from services.runbook.domain.proposal import (
    Draft,
    Proposal,
    case_of,
    conclude,
    draft,
    guarded,
    remarks,
    unhelpful,
)
from services.runbook.domain.rollback import Registered
from services.runbook.domain.smallest_set import recommend, sets_of
from services.runbook.domain.track_record import (
    EARLIER_INCIDENTS,
    TrackRecord,
    track_record,
)
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.ports import Clock, PolicySource, Previewer, Registry, Store, UnitOfWork

_NO_PREVIEW_OF_ROLLBACKS = MissingPreview(
    "joint ablation asks the checkpoint that scored the window, not an earlier one"
)


@dataclass(frozen=True)
class Propose:
    """Turns an open incident into a proposal, or into advice that says why there is none."""

    store: Store
    policies: PolicySource
    previewer: Previewer
    registry: Registry
    clock: Clock
    approval_time: timedelta
    """How long a proposal waits for an answer."""

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out."""
        since = self.clock.now() - BUDGET_TIME
        incident, around, history = await self.store.read(
            lambda unit: (
                unit.incidents.get(claim.work.incident),
                unit.restraints.circumstances(since),
                _history(unit, claim.work.incident),
            )
        )
        finding = await self._consider(incident, around, history) if _waits(incident) else ""
        time = self.clock.now()
        await self.store.transact(lambda unit: self._record(unit, claim, finding, time, history))

    async def _consider(
        self, incident: Incident, around: Circumstances, history: TrackRecord
    ) -> Proposal | str:
        rules, time = self.policies.current(), self.clock.now()
        registered = await self._registered(rules, incident)
        try:
            wanted = draft(rules, incident, around, time, registered=registered, history=history)
            if isinstance(wanted, str):
                return wanted
            if wanted.plan.kind is MitigationKind.CHECKPOINT_ROLLBACK:
                return conclude(wanted, _NO_PREVIEW_OF_ROLLBACKS)
            enough = await self._enough(wanted)
            if isinstance(enough, str):
                return enough
            plan, preview = enough
            # Fewer features than the policy selected may have been decided about before.
            wanted_or_why = guarded(
                replace(wanted, plan=plan), rules.guard_rails, incident, around, time
            )
            if isinstance(wanted_or_why, str):
                return wanted_or_why
            return conclude(wanted_or_why, preview)
        except ConditionFailed as error:
            return f"A policy could not be followed: {error}. This needs a person."

    async def _registered(self, rules: Rules, incident: Incident) -> Registered | str:
        if not any(policy.action is Action.ROLLBACK for policy in rules.policies):
            return "no policy rolls back"
        try:
            return await self.registry.registered(incident.model)
        except RegistryUnavailable as error:
            return str(error)

    async def _enough(self, wanted: Draft) -> tuple[Plan, Preview | MissingPreview] | str:
        """Return the smallest plan that does as well as the best, or why none is worth it."""
        window, plan = wanted.case.window, wanted.plan
        sets = sets_of(plan.features)
        try:
            ablations = await self.previewer.ablate(window.name, sets)
            if any(a.checkpoint_digest != window.checkpoint_digest for a in ablations):
                raise PreviewUnavailable("attribution holds another checkpoint than the window's")
            by_set = dict(zip(sets, ablations, strict=True))
            features, preview = recommend(window.calibration, by_set)
            if not features:
                return unhelpful(plan, predict(window.calibration, by_set[plan.features]))
            return replace(plan, features=features), preview
        except PreviewUnavailable as error:
            return plan, MissingPreview(str(error))

    def _record(
        self,
        unit: UnitOfWork,
        claim: Claim,
        finding: Proposal | str,
        time: datetime,
        history: TrackRecord,
    ) -> None:
        unit.outbox.finish(claim)
        found = unit.incidents.get(claim.work.incident)
        if not _waits(found):
            return
        incident = self._remarked(found, time, history)
        if isinstance(finding, Proposal):
            incident = self._proposed(incident, finding, time)
            unit.incidents.save(incident)
            newest = incident.mitigations[-1]
            if newest.state is MitigationState.APPROVED:
                unit.outbox.put(Work(WorkKind.APPLY, incident.id, newest.id))
                return
            for step in self.policies.current().escalation:
                unit.outbox.put(Work(WorkKind.ESCALATE, incident.id), time + step.after)
        elif finding not in {"", incident.advice}:
            unit.incidents.save(incident.advised(finding).noted(time, SERVICE, finding))
        elif incident is not found:
            unit.incidents.save(incident)

    def _remarked(self, incident: Incident, time: datetime, history: TrackRecord) -> Incident:
        """Return the incident with what policies have to say and have not said yet."""
        case = case_of(incident, (), history)
        try:
            said = remarks(self.policies.current(), case) if case else ()
        except ConditionFailed as error:
            said = [(SERVICE, f"A policy could not be followed: {error}.")]
        for actor, message in said:
            if all((e.actor, e.message) != (actor, message) for e in incident.timeline):
                incident = incident.noted(time, actor, message)
        return incident

    def _proposed(self, incident: Incident, proposal: Proposal, time: datetime) -> Incident:
        policy, plan = proposal.draft.policy, proposal.draft.plan
        expire_time = time + self.approval_time
        radius = blast_radius(plan, incident.comparison)
        needed = self.policies.current().guard_rails.required_approvals(radius)
        mitigation = propose(
            mitigation_id=str(len(incident.mitigations) + 1),
            plan=plan,
            preview=proposal.preview,
            proposer=policy.principal,
            time=time,
            expire_time=expire_time,
            reason=_grounds(proposal.draft),
            required_approvals=needed,
        )
        proposed = incident.with_proposal(mitigation)
        # A policy is one voice: where several are needed, people decide.
        if not proposal.approves_itself or needed > 1:
            takes = f" Takes {needed} approvers." if needed > 1 else ""
            return proposed.advised(
                f"Approve or reject: {plan}.{takes} Expires at {expire_time:%H:%M} UTC."
            )
        return proposed.moved(
            mitigation.id,
            MitigationState.APPROVED,
            actor=policy.principal,
            time=time,
            reason=f"policy {policy.name} is in mode apply",
        ).advised(f"Approved by policy {policy.name}: about to {plan}.")


def _history(unit: UnitOfWork, incident_id: str) -> TrackRecord:
    model = unit.incidents.get(incident_id).model
    newest, _ = unit.catalogue.page(model, EARLIER_INCIDENTS + 1, "")
    return track_record(incident for incident in newest if incident.id != incident_id)


def _waits(incident: Incident) -> bool:
    return incident.is_open and incident.under_way is None


def _grounds(wanted: Draft) -> str:
    policy = wanted.policy
    because = f": {wanted.why}" if wanted.why else ""
    return f"policy {policy.name}, version {policy.version}{because}"
