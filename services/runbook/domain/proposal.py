"""From the rules and a case to a plan worth previewing, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.runbook.domain.blast_radius import NOT_ASKED, Downstream
from services.runbook.domain.case import Case
from services.runbook.domain.diagnosis import MITIGABLE, IncidentVerdict, advice_on
from services.runbook.domain.finding import AuditFinding
from services.runbook.domain.finding_plan import finding_plan
from services.runbook.domain.guardrail import Circumstances, GuardRails
from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.policy import Action, Mode, Policy, Rules
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.rollback import Registered, rollback_target
from services.runbook.domain.track_record import TrackRecord

_DECIDED = frozenset({MitigationState.REJECTED, MitigationState.REVERTED, MitigationState.FAILED})
_SPEAKING = frozenset({Action.ANNOTATE, Action.PAGE})


@dataclass(frozen=True)
class Situation:
    """An incident, and what else policies and guard rails look at."""

    incident: Incident
    around: Circumstances
    time: datetime
    registered: Registered | str
    """The model's checkpoints, or why nobody knows them."""
    history: TrackRecord
    downstream: Downstream
    findings: Sequence[AuditFinding] = ()
    """Of audits lately, in what feeds the model; none where nobody can say."""
    able: frozenset[MitigationKind] = frozenset(MitigationKind)
    """The kinds of mitigation that somebody is set to carry out."""

    @property
    def case(self) -> Case | None:
        """The incident as policies look at it; None if no window was anomalous and no audit found
        anything."""
        incident = self.incident
        comparison = incident.comparison
        window = comparison.anomaly if comparison else next(reversed(incident.anomalies), None)
        if window is None and not incident.findings:
            return None
        known = {each.id: each for each in (*incident.findings, *self.findings)}
        ours = (plan for plan in self.around.in_force if plan.model == incident.model)
        return Case(
            model=incident.model,
            verdict=incident.verdict,
            comparison=comparison,
            window=window,
            anomalous_windows=len(incident.anomalies),
            killed=frozenset(feature for plan in ours for feature in plan.features),
            history=self.history,
            downstream=self.downstream,
            findings=tuple(known.values()),
        )


@dataclass(frozen=True)
class Remark:
    """What a policy has to say about an incident."""

    actor: str
    message: str
    to: str = ""
    """Whom it calls; empty: nobody."""


@dataclass(frozen=True)
class Draft:
    """What a policy wants to do, within the guard rails."""

    policy: Policy
    plan: Plan
    case: Case
    why: str = ""
    """Why these features."""


@dataclass(frozen=True)
class Proposal:
    """A draft with what it would do."""

    draft: Draft
    preview: Preview | MissingPreview
    downstream: Downstream = NOT_ASKED
    """Who feels it besides its model."""

    @property
    def approves_itself(self) -> bool:
        """Whether the policy may act without an expert. Never without a preview, and never on what
        audits found: that is a suspicion."""
        policy, plan = self.draft.policy, self.draft.plan
        previewed = isinstance(self.preview, Preview)
        return policy.mode is Mode.APPLY and previewed and not plan.kind.is_on_findings

    @property
    def observation(self) -> str:
        """What a policy that only observes says of it."""
        policy, plan = self.draft.policy, self.draft.plan
        return f"{policy.name} only observes. It would {plan} (preview {self.preview})."


def draft(policies: Sequence[Policy], rails: GuardRails, situation: Situation) -> Draft | str:
    """Return what the first policy that would act would do, or why nothing can be proposed.

    Raises:
        ConditionFailed: a policy's condition has no answer on this incident's facts.
    """
    incident, case = situation.incident, situation.case
    if case is None:
        return advice_on(incident.verdict, incident.comparison)
    hindrance = ""
    for policy in policies:
        # What audits found is evidence of its own, whatever calibration says.
        if incident.verdict not in MITIGABLE and policy.action.on_findings is None:
            continue
        wanted = _wanted(policy, case, situation, rails)
        if isinstance(wanted, Draft):
            return guarded(wanted, rails, situation)
        hindrance = hindrance or wanted
    if hindrance:
        return f"{hindrance} This needs a person."
    if incident.verdict is IncidentVerdict.FEATURE_CORRUPTION:
        return "No policy acts on it. This needs a person."
    return advice_on(incident.verdict, incident.comparison)


def wanting(policies: Sequence[Policy], rails: GuardRails, situation: Situation) -> bool:
    """Whether a policy would act on what audits found, guard rails or not."""
    case = situation.case
    about = (policy for policy in policies if policy.action.on_findings)
    return case is not None and any(
        isinstance(_wanted(policy, case, situation, rails), Draft) for policy in about
    )


def remarks(rules: Rules, case: Case) -> Sequence[Remark]:
    """Return what policies have to say about the case. Raises ConditionFailed."""
    speakers = (policy for policy in rules.policies if policy.action in _SPEAKING)
    return [_remark(policy) for policy in speakers if policy.has_a_say(case)]


def _remark(policy: Policy) -> Remark:
    said = f"calling {policy.to}: {policy.note}" if policy.to else policy.note
    if not policy.decides:
        return Remark(policy.principal, f"{policy.name} only observes. It would say: {said}")
    return Remark(policy.principal, said, policy.to)


def _wanted(policy: Policy, case: Case, situation: Situation, rails: GuardRails) -> Draft | str:
    """Return what the policy would do, or what hinders it; empty if it would do nothing."""
    incident = situation.incident
    if acting := policy.action.on_findings:
        return _about_findings(policy, acting, case, situation, rails)
    if policy.action is Action.ROLLBACK and policy.has_a_say(case):
        return _back(policy, case, incident, situation.registered)
    choice = policy.select(case)
    if not choice.features:
        return ""
    kind = MitigationKind.KILL_SWITCH
    return Draft(policy, Plan(incident.id, incident.model, kind, choice.features), case, choice.why)


def _about_findings(
    policy: Policy, kind: MitigationKind, case: Case, situation: Situation, rails: GuardRails
) -> Draft | str:
    incident, in_force = situation.incident, situation.around.in_force
    found = policy.findings_of(case)
    plan = finding_plan(kind, found, incident, in_force, rails.most_labels_at_once)
    if isinstance(plan, str):
        return f"{policy.name} does not act: {plan}." if plan else ""
    if kind not in situation.able:
        return (
            f"{policy.name} would {plan}, but nobody is set to carry out {kind} "
            "(AFTERSHOCK_RUNBOOK_WEBHOOK_KINDS)."
        )
    return Draft(policy, plan, case)


def _back(
    policy: Policy, case: Case, incident: Incident, registered: Registered | str
) -> Draft | str:
    if isinstance(registered, str):
        return f"{policy.name} would roll back, but {registered}."
    if not incident.anomalies:
        return ""
    since = incident.anomalies[0].start_time
    target = rollback_target(registered, since)
    if target is None:
        return (
            f"{policy.name} would roll back, but the registry has no checkpoint older than "
            f"{registered.serving} that is known to be trained until {since:%Y-%m-%d %H:%M} UTC "
            "or before."
        )
    plan = Plan(
        incident.id,
        incident.model,
        MitigationKind.CHECKPOINT_ROLLBACK,
        checkpoint=target,
        replaces=registered.serving,
    )
    return Draft(policy, plan, case)


def conclude(draft: Draft, preview: Preview | MissingPreview) -> Proposal | str:
    """Return the proposal, or why it is not worth making.

    Raises:
        ConditionFailed: the policy's condition has no answer on the preview.
    """
    policy, plan = draft.policy, draft.plan
    of_labels = sorted({each.feature for each in plan.labels if each.feature})
    if not policy.accepts(draft.case, plan.features or tuple(of_labels), preview):
        return unhelpful(plan, preview)
    return Proposal(draft, preview)


def unhelpful(plan: Plan, preview: Preview | MissingPreview) -> str:
    """Say that the plan is not worth proposing."""
    return f"To {plan} would not help enough (preview {preview}). This needs a person."


def guarded(wanted: Draft, rails: GuardRails, situation: Situation) -> Draft | str:
    """Return what is left of a draft within the guard rails, or why nothing is."""
    incident = situation.incident
    kills = wanted.plan.kind is MitigationKind.KILL_SWITCH
    features = wanted.plan.features
    protected = rails.protected(incident.model, features)
    plan = replace(wanted.plan, features=tuple(f for f in features if f not in protected))
    if kills and not plan.features:
        return f"{', '.join(protected)} must never be switched off. This needs a person."
    if refusal := rails.refusal(plan, situation.around, situation.time):
        return f"{wanted.policy.name} would {plan}, but {refusal}. This needs a person."
    for earlier in incident.mitigations:
        if earlier.plan.hash == plan.hash and earlier.state in _DECIDED:
            return f"To {plan} was {earlier.state.lower()} before. This needs a person."
    return replace(wanted, plan=plan)
