"""What lineage knows about an incident: what happened upstream, and who is downstream."""

from dataclasses import dataclass
from datetime import datetime

from clients.chatbot.core.card import Section, section
from clients.chatbot.core.text import Line, name_of, quote, say, strong

MOST_HAPPENINGS = 3


@dataclass(frozen=True)
class Happening:
    """Something that happened to a node upstream, not long before."""

    time: datetime
    node: str
    summary: str
    actor: str


@dataclass(frozen=True)
class Surroundings:
    """What is around an incident."""

    happenings: tuple[Happening, ...] = ()
    """The latest first."""


NOTHING_AROUND = Surroundings()


def around(known: Surroundings) -> Section:
    """Return what the message says of it."""
    return section(*(_happening(each) for each in known.happenings[:MOST_HAPPENINGS]))


def _happening(each: Happening) -> Line:
    by = (say(" by "), quote(each.actor)) if each.actor else ()
    return (
        strong("Upstream, shortly before: "),
        name_of(each.node),
        say(f" · {each.time:%d %b %H:%M} UTC · "),
        quote(each.summary),
        *by,
    )
