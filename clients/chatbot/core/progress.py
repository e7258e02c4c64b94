"""Where a mitigation is, and what the message says of it: one row a state."""

from collections.abc import Callable, Mapping

from aftershock.v1.incident_pb2 import (
    Incident,
    IncidentState,
    Mitigation,
    MitigationState,
)
from clients.chatbot.core import words
from clients.chatbot.core.card import Mood, Section, section
from clients.chatbot.core.evidence import broken_window
from clients.chatbot.core.steering import is_on_rows
from clients.chatbot.core.text import Line, quote, say, strong

_S = MitigationState
_MOODS: Mapping[int, Mood] = {
    _S.MITIGATION_STATE_PROPOSED: Mood.ASKS,
    _S.MITIGATION_STATE_APPROVED: Mood.ACTS,
    _S.MITIGATION_STATE_APPLYING: Mood.ACTS,
    _S.MITIGATION_STATE_APPLIED: Mood.ACTS,
    _S.MITIGATION_STATE_VERIFYING: Mood.ACTS,
    _S.MITIGATION_STATE_EFFECTIVE: Mood.GOOD,
    _S.MITIGATION_STATE_RELEASING: Mood.GOOD,
    _S.MITIGATION_STATE_RELEASED: Mood.GOOD,
    _S.MITIGATION_STATE_REJECTED: Mood.ASKS,
    _S.MITIGATION_STATE_EXPIRED: Mood.ASKS,
    _S.MITIGATION_STATE_FAILED: Mood.BAD,
    _S.MITIGATION_STATE_REVERTING: Mood.BAD,
    _S.MITIGATION_STATE_REVERTED: Mood.BAD,
    _S.MITIGATION_STATE_CONFLICTED: Mood.BAD,
}


def mood_of(incident: Incident, newest: Mitigation | None) -> Mood:
    """Return what a glance should tell."""
    mood = _MOODS.get(newest.state, Mood.ASKS) if newest else Mood.ASKS
    if incident.state == IncidentState.INCIDENT_STATE_CLOSED and mood is Mood.ASKS:
        return Mood.QUIET
    return mood


def progress(mitigation: Mitigation, incident: Incident) -> Section:
    """Return what is proposed, being done, or done, and what came of it."""
    return section(*_STORIES.get(mitigation.state, _unknown)(mitigation, incident))


def _proposed(mitigation: Mitigation, incident: Incident) -> list[Line]:
    now = broken_window(incident).calibration.ratio
    return [
        (strong("Proposed: "), *words.act(mitigation), say(".")),
        words.preview(mitigation.preview, now),
        _terms(mitigation, incident),
    ]


def _terms(mitigation: Mitigation, incident: Incident) -> Line:
    """Return who has to say yes until when, and how much it touches."""
    given, needed = len(mitigation.approvers), max(mitigation.required_approvals, 1)
    needs = f"Needs {words.count(needed, 'approval')}"
    if given:
        needs = f"{given} of {needed} approvals, by {', '.join(mitigation.approvers)}"
    window = broken_window(incident)
    examples = window.considered_count + window.displayed_count
    touches = f"touches {words.count(examples, 'example')} a window" if examples else ""
    feel = words.count(mitigation.downstream_model_count, "other model")
    knows = mitigation.HasField("downstream_model_count")
    called = ", ".join(mitigation.escalated_to)
    parts = (
        needs,
        f"expires {words.clock(mitigation.expire_time)}",
        touches,
        f"felt by {feel}" if knows else "",
        f"called {called}" if called else "",
    )
    return (quote(" · ".join(filter(None, parts))),)


def _approved(mitigation: Mitigation, incident: Incident) -> list[Line]:  # noqa: ARG001
    return [(strong(f"{_by(mitigation)}: about to "), *words.act(mitigation), say("."))]


def _in_force(mitigation: Mitigation, incident: Incident) -> list[Line]:
    now = broken_window(incident).calibration.ratio
    since = f" since {words.clock(mitigation.apply_time)}" if mitigation.apply_time.seconds else ""
    later = "It acts on checkpoints that are trained from now on."
    return [
        (strong(f"In force{since}: "), *words.act(mitigation), say(f". {_by(mitigation)}.")),
        words.preview(mitigation.preview, now),
        (say(later if is_on_rows(mitigation) else "Later windows decide whether it helped."),),
    ]


def _effective(mitigation: Mitigation, incident: Incident) -> list[Line]:  # noqa: ARG001
    verified = words.ratio(mitigation.verified_calibration)
    previewed = mitigation.preview
    compared = (
        "" if previewed.missing_reason else f", previewed {words.ratio(previewed.calibration)}"
    )
    found: Line = (strong(f"Effective: calibration {verified}{compared}."),)
    if is_on_rows(mitigation):
        found = (strong("In effect: "), quote(mitigation.reason))
    return [
        found,
        (say("In force: "), *words.act(mitigation), say(f". {_by(mitigation)}.")),
        (say(f"Lasts until {words.clock(mitigation.lease_expire_time)}, then asks again."),)
        if mitigation.HasField("lease_expire_time")
        else (),
    ]


def _releasing(mitigation: Mitigation, incident: Incident) -> list[Line]:  # noqa: ARG001
    served = f"{mitigation.served_percent} % of traffic"
    return [(strong("Being switched back on: "), say(f"served to {served} again."))]


def _ended(word: str) -> Callable[[Mitigation, Incident], list[Line]]:
    def story(mitigation: Mitigation, incident: Incident) -> list[Line]:  # noqa: ARG001
        why: Line = (say(" Why: "), quote(mitigation.reason)) if mitigation.reason else ()
        return [(strong(f"{word}: "), *words.act(mitigation), say("."), *why)]

    return story


def _unknown(mitigation: Mitigation, incident: Incident) -> list[Line]:  # noqa: ARG001
    """Of a runbook that is newer than this bot."""
    return [(strong("In a state that this bot does not know: "), *words.act(mitigation), say("."))]


def _by(mitigation: Mitigation) -> str:
    people = list(mitigation.approvers) or [mitigation.approver or "nobody"]
    return quote(f"Approved by {', '.join(people)}").text


_STORIES: Mapping[int, Callable[[Mitigation, Incident], list[Line]]] = {
    _S.MITIGATION_STATE_PROPOSED: _proposed,
    _S.MITIGATION_STATE_APPROVED: _approved,
    _S.MITIGATION_STATE_APPLYING: _approved,
    _S.MITIGATION_STATE_APPLIED: _in_force,
    _S.MITIGATION_STATE_VERIFYING: _in_force,
    _S.MITIGATION_STATE_EFFECTIVE: _effective,
    _S.MITIGATION_STATE_RELEASING: _releasing,
    _S.MITIGATION_STATE_RELEASED: _ended("Switched back on for good"),
    _S.MITIGATION_STATE_REJECTED: _ended("Rejected"),
    _S.MITIGATION_STATE_EXPIRED: _ended("Expired, nobody answered"),
    _S.MITIGATION_STATE_FAILED: _ended("Failed, and nobody knows what is in force"),
    _S.MITIGATION_STATE_REVERTING: _ended("Being taken back"),
    _S.MITIGATION_STATE_REVERTED: _ended("Taken back"),
    _S.MITIGATION_STATE_CONFLICTED: _ended("Not done"),
}
