"""An incident's timeline, as notes in the thread under its message."""

from collections.abc import Iterable

from aftershock.v1.incident_pb2 import Incident, TimelineEntry
from clients.chatbot.core import words
from clients.chatbot.core.card import Note
from clients.chatbot.core.describe import short
from clients.chatbot.core.text import Line, quote, say

MOST_ENTRIES = 15
"""In one note."""


def next_note(incident: Incident, told: int) -> Note | None:
    """Return what the thread lacks after the first `told` entries; None if nothing.

    Its key says how many entries are told with it.
    """
    entries = incident.timeline[told : told + MOST_ENTRIES]
    if not entries:
        return None
    key = f"{_prefix(incident)}{told + len(entries)}"
    return Note(key, tuple(_line(entry) for entry in entries))


def told_by(incident: Incident, keys: Iterable[str]) -> int:
    """Return how many entries the notes with these keys tell."""
    prefix = _prefix(incident)
    counts = (key.removeprefix(prefix) for key in keys if key.startswith(prefix))
    return max((int(count) for count in counts if count.isdecimal()), default=0)


def _prefix(incident: Incident) -> str:
    return f"{short(incident.name)}/timeline/"


def _line(entry: TimelineEntry) -> Line:
    when = words.clock(entry.time)
    return (say(f"{when} · "), quote(entry.actor), say(": "), quote(entry.message))
