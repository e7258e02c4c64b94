"""From the rules and a case to a plan worth previewing, or the reason why there is none."""

from dataclasses import dataclass, replace
from datetime import datetime

from services.runbook.domain.diagnosis import MITIGABLE, IncidentVerdict, advice_on
from services.runbook.domain.guardrail import Circumstances, GuardRails
from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.plan import Plan
from services.runbook.domain.policy import Case, Mode, Policy, Rules
from services.runbook.domain.preview import MissingPreview, Preview

_DECIDED = frozenset({MitigationState.REJECTED, MitigationState.REVERTED, MitigationState.FAILED})


@dataclass(frozen=True)
class Draft:
    """What a policy wants to do, within the guard rails."""

    policy: Policy
    plan: Plan
    case: Case


@dataclass(frozen=True)
class Proposal:
    """A draft with what it would do."""

    draft: Draft
    preview: Preview | MissingPreview

    @property
    def approves_itself(self) -> bool:
        """Whether the policy may act without an expert. Never without a preview."""
        return self.draft.policy.mode is Mode.APPLY and isinstance(self.preview, Preview)


def draft(
    rules: Rules, incident: Incident, circumstances: Circumstances, time: datetime
) -> Draft | str:
    """Return what the first policy with a say would do, or why nothing can be proposed.

    Raises:
        ConditionFailed: a policy's condition has no answer on this incident's facts.
    """
    comparison, verdict = incident.comparison, incident.verdict
    if comparison is None or verdict not in MITIGABLE:
        return advice_on(verdict, comparison)
    ours = (plan for plan in circumstances.in_force if plan.model == incident.model)
    killed = frozenset(feature for plan in ours for feature in plan.features)
    case = Case(incident.model, verdict, comparison, len(incident.anomalies), killed)
    for policy in rules.policies:
        if features := policy.select(case):
            plan = Plan(incident.id, incident.model, policy.action, features)
            wanted = Draft(policy, plan, case)
            return _guarded(wanted, rules.guard_rails, incident, circumstances, time)
    if verdict is IncidentVerdict.FEATURE_CORRUPTION:
        return "No policy acts on it. This needs a person."
    return advice_on(verdict, comparison)


def conclude(draft: Draft, preview: Preview | MissingPreview) -> Proposal | str:
    """Return the proposal, or why it is not worth making.

    Raises:
        ConditionFailed: the policy's condition has no answer on the preview.
    """
    policy, plan = draft.policy, draft.plan
    if not policy.accepts(draft.case, plan.features, preview):
        return f"To {plan} would not help enough (preview {preview}). This needs a person."
    if policy.mode is Mode.OBSERVE:
        return f"{policy.name} only observes. It would {plan} (preview {preview})."
    return Proposal(draft, preview)


def _guarded(
    wanted: Draft,
    rails: GuardRails,
    incident: Incident,
    circumstances: Circumstances,
    time: datetime,
) -> Draft | str:
    features = wanted.plan.features
    protected = rails.protected(incident.model, features)
    plan = replace(wanted.plan, features=tuple(f for f in features if f not in protected))
    if not plan.features:
        return f"{', '.join(protected)} must never be switched off. This needs a person."
    if refusal := rails.refusal(plan, circumstances, time):
        return f"{wanted.policy.name} would {plan}, but {refusal}. This needs a person."
    for earlier in incident.mitigations:
        if earlier.plan.hash == plan.hash and earlier.state in _DECIDED:
            return f"To {plan} was {earlier.state.lower()} before. This needs a person."
    return replace(wanted, plan=plan)
