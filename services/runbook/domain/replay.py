"""What rules would have done about an incident that is over, or under way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.runbook.domain.blast_radius import NOT_ASKED
from services.runbook.domain.errors import ConditionFailed
from services.runbook.domain.guardrail import Circumstances
from services.runbook.domain.incident import Incident
from services.runbook.domain.plan import Plan
from services.runbook.domain.policy import Policy, Rules
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.proposal import Draft, Proposal, Situation, conclude, draft
from services.runbook.domain.track_record import TrackRecord

_UNRECORDED = MissingPreview("nobody asked for these features then")


@dataclass(frozen=True)
class Replayed:
    """An incident, and what the rules would have done about it."""

    incident: Incident
    would: str
    draft: Draft | None
    """None: they would not have acted."""
    preview: Preview | MissingPreview


def replay(incident: Incident, rules: Rules, history: TrackRecord) -> Replayed:
    """Return what the rules would have done on the incident's evidence as it stands.

    What a policy that only observes would have done is told where no other would have acted.

    `history`: of the model's incidents before it. Nothing else is in force, and neither the
    registry nor lineage is asked: their past is not recorded, but of what was proposed.
    """
    situation = Situation(
        incident=replace(incident, mitigations=()),
        around=Circumstances(),
        time=incident.create_time,
        registered="a replay does not ask the registry",
        history=history,
        downstream=next((m.downstream for m in reversed(incident.mitigations)), NOT_ASKED),
    )
    decided = _replayed(incident, rules.deciding, rules, situation)
    if decided.draft is not None or not rules.observing:
        return decided
    observed = (_replayed(incident, [each], rules, situation) for each in rules.observing)
    return next((each for each in observed if each.draft is not None), decided)


def _replayed(
    incident: Incident, policies: Sequence[Policy], rules: Rules, situation: Situation
) -> Replayed:
    try:
        wanted = draft(policies, rules.guard_rails, situation)
        if isinstance(wanted, str):
            return Replayed(incident, wanted, None, _UNRECORDED)
        preview = _recorded(incident, wanted.plan)
        concluded = conclude(wanted, preview)
    except ConditionFailed as error:
        return Replayed(incident, f"could not be followed: {error}", None, _UNRECORDED)
    if isinstance(concluded, str):
        return Replayed(incident, concluded, None, preview)
    return Replayed(incident, _told(concluded), wanted, preview)


def _told(proposal: Proposal) -> str:
    if not proposal.draft.policy.decides:
        return proposal.observation
    return f"{'apply' if proposal.approves_itself else 'propose'}: {proposal.draft.plan}"


def _recorded(incident: Incident, plan: Plan) -> Preview | MissingPreview:
    for mitigation in incident.mitigations:
        preview = mitigation.preview
        if mitigation.plan.kind is not plan.kind:
            continue
        if mitigation.plan.target == plan.target:
            return preview
        if isinstance(preview, MissingPreview):
            continue
        for other in preview.alternatives:
            if set(other.features) == set(plan.features):
                count = preview.example_count
                return Preview(other.calibration, other.lower, other.upper, count)
    return _UNRECORDED
