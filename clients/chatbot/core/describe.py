"""From an incident to the message about it."""

from aftershock.v1.incident_pb2 import Incident, IncidentState, Mitigation, MitigationState
from clients.chatbot.core import words
from clients.chatbot.core.card import Button, Card, Choice, Section, kept, section
from clients.chatbot.core.decision import SNOOZE_MINUTES, Target
from clients.chatbot.core.evidence import (
    broken_window,
    direction,
    findings,
    found,
    is_on_findings,
    model_of,
    newest_window,
    situation,
    suspects,
)
from clients.chatbot.core.progress import mood_of, progress
from clients.chatbot.core.steering import steering
from clients.chatbot.core.surroundings import NOTHING_AROUND, Surroundings, around
from clients.chatbot.core.text import clean, quote, say

_PAUSE_QUESTION = (
    "From now on nobody's approval counts and nothing is switched off, for any model, until "
    "somebody resumes. What is switched off stays so."
)


def card_of(incident: Incident, known: Surroundings = NOTHING_AROUND) -> Card:
    """Return what the message about an incident says now, with what is around it."""
    newest = incident.mitigations[-1] if incident.mitigations else None
    return Card(
        incident=short(incident.name),
        mood=mood_of(incident, newest),
        headline=headline(incident),
        sections=kept(
            (
                situation(incident),
                suspects(incident),
                findings(incident),
                around(known),
                *(progress(each, incident) for each in incident.mitigations[-2:]),
                _next(incident),
            )
        ),
        buttons=buttons(incident, newest),
    )


def short(name: str) -> str:
    """Return the last segment of a resource name, harmless."""
    return clean(name.rpartition("/")[2], 64)


def headline(incident: Incident) -> str:
    """Return what is wrong, or that it is over, in one line."""
    model = model_of(incident)
    if incident.merged_into:
        return f"{model}: the same as {short(incident.merged_into)}"
    if is_on_findings(incident):
        dealt = incident.state == IncidentState.INCIDENT_STATE_CLOSED
        return f"{model} {'was decided about' if dealt else 'could be hijacked'}: {found(incident)}"
    if incident.state == IncidentState.INCIDENT_STATE_CLOSED:
        return f"{model} is healthy again: calibration {_ratio(incident)}"
    broken = broken_window(incident).calibration
    return f"{model} {direction(broken)}: calibration {words.ratio(broken.ratio)}"


def _ratio(incident: Incident) -> str:
    return words.ratio(newest_window(incident).calibration.ratio)


def _next(incident: Incident) -> Section:
    snoozed = incident.snooze_expire_time
    return section(
        (quote(incident.advice),) if incident.advice else (),
        (say(f"Snoozed until {words.clock(snoozed)}: nobody is called before."),)
        if incident.HasField("snooze_expire_time")
        else (),
        (say(f"{short(incident.name)} · opened {words.clock(incident.create_time)}"),),
    )


def buttons(incident: Incident, newest: Mitigation | None) -> tuple[Button, ...]:
    """Return what can be decided now: nothing while something is being done."""
    about = Target(incident.name).encode()
    if newest is not None and newest.state != MitigationState.MITIGATION_STATE_PROPOSED:
        return steering(incident)
    if incident.state != IncidentState.INCIDENT_STATE_OPEN:
        return ()
    look = (
        Button(Choice.DETAILS, "Details", about),
        Button(Choice.SNOOZE, f"Snooze {SNOOZE_MINUTES} min", about),
    )
    if newest is None:
        return look
    plan = Target(incident.name, newest.name, newest.plan_hash).encode()
    return (
        Button(Choice.APPROVE, "Approve", plan),
        Button(Choice.REJECT, "Reject…", plan),
        *look,
        Button(Choice.PAUSE, "Pause everything", about, _PAUSE_QUESTION),
    )
