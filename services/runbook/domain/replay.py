"""What rules would have done about an incident that is over, or under way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.runbook.domain.errors import ConditionFailed
from services.runbook.domain.guardrail import Circumstances
from services.runbook.domain.incident import Incident
from services.runbook.domain.policy import Rules
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.proposal import Draft, Proposal, conclude, draft
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

    `history`: of the model's incidents before it. Nothing else is in force, and the registry is
    not asked: its past is not recorded.
    """
    fresh = replace(incident, mitigations=())
    registered = "a replay does not ask the registry"
    time = incident.create_time
    try:
        wanted = draft(rules, fresh, Circumstances(), time, registered=registered, history=history)
        if isinstance(wanted, str):
            return Replayed(incident, wanted, None, _UNRECORDED)
        preview = _recorded(incident, wanted.plan.features)
        concluded = conclude(wanted, preview)
    except ConditionFailed as error:
        return Replayed(incident, f"could not be followed: {error}", None, _UNRECORDED)
    if isinstance(concluded, Proposal):
        verb = "apply" if concluded.approves_itself else "propose"
        return Replayed(incident, f"{verb}: {wanted.plan}", wanted, preview)
    acts = wanted if wanted.policy.accepts(wanted.case, wanted.plan.features, preview) else None
    return Replayed(incident, concluded, acts, preview)


def _recorded(incident: Incident, features: Sequence[str]) -> Preview | MissingPreview:
    for mitigation in incident.mitigations:
        preview = mitigation.preview
        if set(mitigation.plan.features) == set(features):
            return preview
        if isinstance(preview, MissingPreview):
            continue
        for other in preview.alternatives:
            if set(other.features) == set(features):
                count = preview.example_count
                return Preview(other.calibration, other.lower, other.upper, count)
    return _UNRECORDED
