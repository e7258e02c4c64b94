"""Trials from recorded incidents: what experts decided, and what later windows verified."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aftershock.v1.incident_pb2 import Incident, Mitigation, MitigationKind, MitigationState
from clients.learn.trial import RECORDED, Trial, case_from
from services.runbook.adapters.grpc_evidence_messages import comparison_from

_EFFECTIVE = frozenset(
    {
        MitigationState.MITIGATION_STATE_EFFECTIVE,
        MitigationState.MITIGATION_STATE_RELEASING,
        MitigationState.MITIGATION_STATE_RELEASED,
    }
)
_APPROVED = frozenset(
    {
        MitigationState.MITIGATION_STATE_APPROVED,
        MitigationState.MITIGATION_STATE_APPLYING,
        MitigationState.MITIGATION_STATE_APPLIED,
        MitigationState.MITIGATION_STATE_VERIFYING,
    }
)
_NO_RECOVERY = 0.2
"""Share of the way back to 1 under which a mitigation that was taken back had not helped."""
_WEIGHTS = {"effective": RECORDED, "not effective": RECORDED, "rejected": RECORDED}
_APPROVAL = RECORDED / 2
"""An expert's yes that no window has confirmed yet counts half."""
_ORDER = ("approved", "rejected", "not effective", "effective")
"""What is said later in this order stands where two mitigations disagree about a feature."""


@dataclass(frozen=True)
class Lesson:
    """What one mitigation teaches of its features."""

    name: str
    """incidents/{incident}/mitigations/{mitigation}"""
    features: tuple[str, ...]
    outcome: str
    """effective, not effective, rejected or approved."""
    reason: str
    """As recorded: the expert's or the verification's."""

    @property
    def broken(self) -> bool:
        """Whether the features are taken to have been broken."""
        return self.outcome in {"effective", "approved"}


def lessons_of(incidents: Iterable[Incident]) -> Sequence[Lesson]:
    """Return what kill-switches teach.

    An expiry, a conflict or a failure says nothing of the features, nor does an approval that a
    policy gave itself, nor a mitigation that was taken back for other reasons than not helping.
    """
    return [lesson for incident in incidents for lesson in _lessons(incident)]


def trials_of(incidents: Iterable[Incident], lessons: Sequence[Lesson]) -> Sequence[Trial]:
    """Return a trial for each incident that lessons were taken from.

    Where a mitigation was verified as effective, the incident's other features were not broken:
    calibration came back without switching them off.
    """
    by_incident: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        by_incident.setdefault(lesson.name.partition("/mitigations/")[0], []).append(lesson)
    return [
        _trial(incident, by_incident[incident.name])
        for incident in incidents
        if incident.name in by_incident
    ]


def _lessons(incident: Incident) -> Iterator[Lesson]:
    if not incident.HasField("comparison"):
        return
    for mitigation in incident.mitigations:
        outcome = _outcome(incident, mitigation)
        if mitigation.kind == MitigationKind.MITIGATION_KIND_KILL_SWITCH and outcome:
            yield Lesson(mitigation.name, tuple(mitigation.features), outcome, mitigation.reason)


def _outcome(incident: Incident, mitigation: Mitigation) -> str:
    state = mitigation.state
    if state in _EFFECTIVE:
        return "effective"
    if state == MitigationState.MITIGATION_STATE_REJECTED:
        return "rejected"
    if state in _APPROVED and any(not who.startswith("policy:") for who in mitigation.approvers):
        return "approved"
    broken = incident.comparison.anomaly.calibration.ratio
    if state == MitigationState.MITIGATION_STATE_REVERTED and mitigation.verified_calibration > 0:
        left = abs(math.log(mitigation.verified_calibration))
        stayed = 0 < broken < math.inf and left >= (1 - _NO_RECOVERY) * abs(math.log(broken))
        return "not effective" if stayed else ""
    return ""


def _trial(incident: Incident, lessons: Sequence[Lesson]) -> Trial:
    comparison = comparison_from(incident.comparison)
    broken: dict[str, bool] = {}
    weights: dict[str, float] = {}
    if any(lesson.outcome == "effective" for lesson in lessons):
        broken = {shift.feature: False for shift in comparison.shifts}
        weights = dict.fromkeys(broken, RECORDED)
    for lesson in sorted(lessons, key=lambda lesson: _ORDER.index(lesson.outcome)):
        broken |= dict.fromkeys(lesson.features, lesson.broken)
        weights |= dict.fromkeys(lesson.features, _WEIGHTS.get(lesson.outcome, _APPROVAL))
    return Trial(incident.name, case_from(incident.model, comparison), broken, weights)
