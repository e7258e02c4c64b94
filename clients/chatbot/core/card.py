"""What a message about an incident says, for any chat system to render."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from clients.chatbot.core.text import Line


class Mood(StrEnum):
    """What a glance at the message should tell."""

    ASKS = "asks"
    """Somebody has to decide, or to look."""
    ACTS = "acts"
    """Something is being done and is not yet proven."""
    GOOD = "good"
    BAD = "bad"
    """What was done did not help, or cannot be undone."""
    QUIET = "quiet"
    """Nothing is left to do here."""


MARKS: Mapping[Mood, str] = {
    Mood.ASKS: "🔴",
    Mood.ACTS: "🟡",
    Mood.GOOD: "🟢",
    Mood.BAD: "⛔",
    Mood.QUIET: "⚪",
}
"""Beside a headline that says the same in words."""


class Choice(StrEnum):
    """What a button stands for."""

    APPROVE = "approve"
    REJECT = "reject"
    DETAILS = "details"
    SNOOZE = "snooze"
    PAUSE = "pause"
    RENEW = "renew"
    RELEASE = "release"
    REVERT = "revert"


@dataclass(frozen=True)
class Button:
    """Something to press."""

    choice: Choice
    label: str
    value: str
    """Opaque to the chat system; `decision.Target` reads it."""
    question: str = ""
    """Asked before it counts. Empty: it counts at once."""


@dataclass(frozen=True)
class Section:
    """Lines that belong together. The first sections matter most."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Card:
    """A message. Equal cards look equal: what changes by itself with time is not in it."""

    incident: str
    """Its id, `INC-42`."""
    mood: Mood
    headline: str
    """One line, without markup."""
    sections: tuple[Section, ...]
    buttons: tuple[Button, ...] = ()

    @property
    def digest(self) -> str:
        """Tells cards apart; 32 hexadecimal digits."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Note:
    """One message in a thread."""

    key: str
    """Names it for good, so that it is posted once."""
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Picture:
    """A plot."""

    name: str
    """Unique in its incident: letters, digits and dashes."""
    title: str
    alt_text: str
    """What it shows, for who cannot see it."""
    png: bytes


def section(*lines: Line) -> Section:
    """Return lines that belong together, without the empty ones."""
    return Section(tuple(line for line in lines if line))


def kept(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections that say something."""
    return tuple(each for each in sections if each.lines)
