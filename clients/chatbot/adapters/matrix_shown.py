"""What a message in Matrix has shown: an event and its edits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clients.chatbot.adapters.matrix_client import MatrixClient
from clients.chatbot.core.card import Card

MESSAGE = "aftershock.message"
"""The field of a content that says what the bot needs to know again."""
LOOKING = 3000
"""Milliseconds that somebody takes to see an edit."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """What a message shows from some moment on."""

    event: str
    """The edit; at first the message itself."""
    time: int
    """Milliseconds."""
    digest: str
    """Of the card."""
    choices: Mapping[str, str]
    """A button's value for each choice that the message offers."""


def told(key: str, card: Card | None = None) -> Json:
    """Return the field that a message carries."""
    if card is None:
        return {MESSAGE: {"key": key}}
    choices = {button.choice.value: button.value for button in card.buttons}
    return {MESSAGE: {"key": key, "digest": card.digest, "choices": choices}}


def key_of(event: Json) -> str:
    """Return the key under which the bot sent an event; empty if it is an edit, or deleted."""
    relation = event["content"].get("m.relates_to", {})
    if relation.get("rel_type") == "m.replace":
        return ""
    return str(event["content"].get(MESSAGE, {}).get("key", ""))


async def versions(client: MatrixClient, message: str) -> list[Version]:
    """Return what a message shows and has shown, newest first; nothing if it is gone, or if it is
    not about an incident or not the bot's."""
    event = await client.event(message)
    if event is None or event["sender"] != await client.me():
        return []
    first = _version(event, event["content"])
    if first is None:
        return []
    edits = [edit async for edit in client.relations(message, "m.replace")]
    later = (_version(edit, edit["content"].get("m.new_content", {})) for edit in edits)
    return [version for version in (*later, first) if version]


def choices_at(time: int, shown: Sequence[Version]) -> dict[str, str]:
    """Return what somebody chose from, who reacted at a time.

    A reaction does not tell what its sender saw. Where a plan was replaced a moment ago they meant
    the plan before, which the runbook then refuses.

    Args:
        time: in milliseconds.
        shown: newest first, at least one.
    """
    first = shown[-1]
    now = next((each for each in shown if each.time <= time), first)
    seen = next((each for each in shown if each.time <= time - LOOKING), first)
    return {**now.choices, **seen.choices}


async def start_of(client: MatrixClient, event: str) -> str:
    """Return the first message of the bot's thread that an event is in; else the event."""
    found = await client.event(event)
    if found is None or found["sender"] != await client.me():
        return event
    relation = found["content"].get("m.relates_to", {})
    return str(relation["event_id"]) if relation.get("rel_type") == "m.thread" else event


def _version(event: Json, content: Json) -> Version | None:
    field = content.get(MESSAGE, {})
    if "digest" not in field:
        return None
    return Version(event["event_id"], event["origin_server_ts"], field["digest"], field["choices"])
