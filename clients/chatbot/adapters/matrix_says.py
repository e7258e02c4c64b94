"""What people do in Matrix: reactions, replies and commands. Pure.

Nobody checks what is in an event before it comes here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clients.chatbot.core.card import Choice

COMMAND = "!aftershock"
REASON_LENGTH = 1000
REACTIONS: Mapping[Choice, str] = {
    Choice.APPROVE: "👍",
    Choice.REJECT: "👎",
    Choice.DETAILS: "🔍",
    Choice.SNOOZE: "💤",
    Choice.PAUSE: "⏸",
    Choice.RENEW: "🔁",
    Choice.RELEASE: "▶",
    Choice.REVERT: "↩",
}
"""Shown with the message."""
_ALIKE = {"✅": Choice.APPROVE, "✔": Choice.APPROVE, "❌": Choice.REJECT, "✖": Choice.REJECT}
_CHOICES = {mark: choice for choice, mark in REACTIONS.items()} | _ALIKE
_SHADES = {ord("\ufe0f"): None} | dict.fromkeys(range(0x1F3FB, 0x1F400))
"""What clients add to an emoji: colour, and the shade of a skin."""


@dataclass(frozen=True)
class Said:
    """Something that may concern the bot."""

    who: str
    """`@ada:example.org`"""
    event: str
    time: int
    """By the server of who said it, in milliseconds."""
    about: str
    """The event that it is a reaction or a reply to, or the first one of its thread. Empty for a
    command in no thread."""
    choice: Choice | None
    """None: a command."""
    words: str
    """What follows the choice, or the command."""
    is_reaction: bool = False


def said_in(event: Mapping[str, Any]) -> Said | None:
    """Return what somebody means by an event; None if it does not concern the bot."""
    content = event.get("content")
    facts = (event.get("sender"), event.get("event_id"), event.get("origin_server_ts"))
    match content, facts:
        case dict(), (str(who), str(name), int(time)):
            relation = _object(content.get("m.relates_to"))
            if event.get("type") == "m.reaction":
                return _reaction(who, name, time, relation)
            if content.get("msgtype") == "m.text" and relation.get("rel_type") != "m.replace":
                return _message(who, name, time, relation, content.get("body"))
    return None


def _reaction(who: str, name: str, time: int, relation: Mapping[str, Any]) -> Said | None:
    match relation:
        case {"rel_type": "m.annotation", "event_id": str(about), "key": str(key)}:
            choice = _CHOICES.get(key.translate(_SHADES))
            if choice is not None:
                return Said(who, name, time, about, choice, "", is_reaction=True)
    return None


def _message(
    who: str, name: str, time: int, relation: Mapping[str, Any], body: object
) -> Said | None:
    text = _without_quotation(body) if isinstance(body, str) else ""
    first, _, rest = text.partition(" ")
    words = rest[:REASON_LENGTH]
    if first.lower() == COMMAND:
        return Said(who, name, time, _thread(relation), None, words)
    about = _thread(relation) or _text(_object(relation.get("m.in_reply_to")).get("event_id"))
    if about and first.lower() in set(Choice):
        return Said(who, name, time, about, Choice(first.lower()), words)
    return None


def _thread(relation: Mapping[str, Any]) -> str:
    """Return the first message of the thread; empty if there is none."""
    return _text(relation.get("event_id")) if relation.get("rel_type") == "m.thread" else ""


def _without_quotation(body: str) -> str:
    """Return a body without the lines that older clients put before a reply."""
    # JSON may hold halves of characters, which nothing behind here takes.
    lines = body.encode(errors="replace").decode().splitlines()
    while lines and lines[0].startswith(">"):
        del lines[0]
    return " ".join(" ".join(lines).split())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
