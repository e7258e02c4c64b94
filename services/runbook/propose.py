"""The policies look at an incident, and one of them may propose a mitigation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.runbook.consider import Consider
from services.runbook.domain.blast_radius import Downstream, blast_radius
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.errors import (
    ConditionFailed,
    LineageUnavailable,
    RegistryUnavailable,
)
from services.runbook.domain.finding import AuditFinding
from services.runbook.domain.finding_plan import downstream_of
from services.runbook.domain.guardrail import BUDGET_TIME, Circumstances
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import MitigationState, propose
from services.runbook.domain.plan import MitigationKind
from services.runbook.domain.policy import Action, Rules
from services.runbook.domain.proposal import (
    Draft,
    Proposal,
    Remark,
    Situation,
    remarks,
    wanting,
)
from services.runbook.domain.rollback import Registered
from services.runbook.domain.track_record import (
    EARLIER_INCIDENTS,
    TrackRecord,
    track_record,
)
from services.runbook.domain.trigger import settled
from services.runbook.domain.work import Call, Claim, Work, WorkKind
from services.runbook.ports import Clock, Lineage, PolicySource, Registry, Store, UnitOfWork

_ASKED_AGAIN = timedelta(minutes=1)
_AUDITED_LATELY = timedelta(days=30)
"""Before an incident: findings of audits that policies see."""


@dataclass(frozen=True)
class Propose:
    """Turns an open incident into a proposal, or into advice that says why there is none."""

    store: Store
    policies: PolicySource
    consider: Consider
    registry: Registry
    lineage: Lineage
    clock: Clock
    approval_time: timedelta
    """How long a proposal waits for an answer."""
    able: frozenset[MitigationKind] = frozenset(MitigationKind)
    """The kinds of mitigation that somebody is set to carry out."""

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
        if not _waits(incident):
            await self.store.transact(lambda unit: unit.outbox.finish(claim))
            return
        rules = self.policies.current()
        situation = await self._situation(rules, incident, around, history)
        finding = await self.consider(rules.deciding, rules.guard_rails, situation)
        if isinstance(finding, Proposal):
            finding = replace(finding, downstream=await self._felt(finding.draft, situation))
        observed = await self._observed(rules, situation)
        await self.store.transact(
            lambda unit: self._record(unit, claim, finding, observed, situation)
        )

    async def _situation(
        self, rules: Rules, incident: Incident, around: Circumstances, history: TrackRecord
    ) -> Situation:
        return Situation(
            incident=incident,
            around=around,
            time=self.clock.now(),
            registered=await self._registered(rules, incident),
            history=history,
            downstream=await self._downstream(incident),
            findings=await self._findings(incident),
            able=self.able,
        )

    async def _registered(self, rules: Rules, incident: Incident) -> Registered | str:
        if not any(policy.action is Action.ROLLBACK for policy in rules.policies):
            return "no policy rolls back"
        try:
            return await self.registry.registered(incident.model)
        except RegistryUnavailable as error:
            return str(error)

    async def _downstream(self, incident: Incident) -> Downstream:
        return await self._asked(incident.model)

    async def _felt(self, wanted: Draft, situation: Situation) -> Downstream:
        """Return who feels a plan besides its model: of features those whom the model passes on."""
        plan = wanted.plan
        features = plan.features or tuple(label.feature for label in plan.labels if label.feature)
        # What could not be asked a moment ago is the worst; so it stays.
        if features and situation.downstream.models is not None:
            return await self._asked(plan.model, features)
        return downstream_of(plan, wanted.case.findings, situation.downstream)

    async def _asked(self, model: str, features: Sequence[str] = ()) -> Downstream:
        try:
            return Downstream(await self.lineage.downstream(model, features))
        except LineageUnavailable as error:
            return Downstream(None, str(error))

    async def _findings(self, incident: Incident) -> Sequence[AuditFinding]:
        since = incident.create_time - _AUDITED_LATELY
        try:
            return await self.lineage.findings(incident.model, since)
        except LineageUnavailable:
            return ()

    async def _observed(self, rules: Rules, situation: Situation) -> Sequence[Proposal]:
        """Return what those would do that only observe and have not said it of this incident."""
        told = {entry.actor for entry in situation.incident.timeline}
        found = [
            await self.consider([observer], rules.guard_rails, situation)
            for observer in rules.observing
            if observer.principal not in told
        ]
        return [each for each in found if isinstance(each, Proposal)]

    def _record(
        self,
        unit: UnitOfWork,
        claim: Claim,
        finding: Proposal | str,
        observed: Sequence[Proposal],
        situation: Situation,
    ) -> None:
        unit.outbox.finish(claim)
        found = unit.incidents.get(claim.work.incident)
        if not _waits(found):
            return
        time = self.clock.now()
        incident = self._remarked(unit, found, situation, time)
        for each in observed:
            incident = incident.noted(time, each.draft.policy.principal, each.observation)
        if isinstance(finding, Proposal):
            incident = self._proposed(incident, finding, time)
            unit.incidents.save(incident)
            newest = incident.mitigations[-1]
            if newest.state is MitigationState.APPROVED:
                unit.outbox.put(Work(WorkKind.APPLY, incident.id, newest.id))
                return
            for step in self.policies.current().escalation:
                unit.outbox.put(Work(WorkKind.ESCALATE, incident.id), time + step.after)
            return
        incident = self._without_proposal(unit, incident, finding, situation, time)
        if incident is not found:
            unit.incidents.save(incident)

    def _without_proposal(
        self,
        unit: UnitOfWork,
        incident: Incident,
        finding: str,
        situation: Situation,
        time: datetime,
    ) -> Incident:
        """Return the incident with the advice that there is instead, or settled."""
        rules = self.policies.current()
        if incident.verdict is IncidentVerdict.NATURAL_TRIGGER:
            now = replace(situation, incident=incident)
            if not wanting(rules.deciding, rules.guard_rails, now):
                incident = settled(incident, time)
            else:
                # No window will ask again whether guard rails still forbid it.
                due = time + max(rules.guard_rails.cool_down, _ASKED_AGAIN)
                unit.outbox.put(Work(WorkKind.PROPOSE, incident.id), due)
        if not incident.is_open or finding in {"", incident.advice}:
            return incident
        return incident.advised(finding).noted(time, SERVICE, finding)

    def _remarked(
        self, unit: UnitOfWork, incident: Incident, situation: Situation, time: datetime
    ) -> Incident:
        """Return the incident with what policies have to say and have not said yet."""
        case = replace(situation, incident=incident).case
        try:
            said = remarks(self.policies.current(), case) if case else ()
        except ConditionFailed as error:
            said = [Remark(SERVICE, f"A policy could not be followed: {error}.")]
        told = {(entry.actor, entry.message) for entry in incident.timeline}
        for remark in said:
            if (remark.actor, remark.message) in told:
                continue
            incident = incident.noted(time, remark.actor, remark.message)
            if remark.to:
                call = Call(incident.name, remark.to, remark.message)
                unit.outbox.put(Work(WorkKind.PAGE, incident.id, call=call))
        return incident

    def _proposed(self, incident: Incident, proposal: Proposal, time: datetime) -> Incident:
        policy, plan = proposal.draft.policy, proposal.draft.plan
        expire_time = time + self.approval_time
        radius = blast_radius(plan, incident.comparison, proposal.downstream)
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
            downstream=proposal.downstream,
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
