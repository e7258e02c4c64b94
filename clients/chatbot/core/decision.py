"""What a click means."""

from dataclasses import dataclass
from typing import Self

from clients.chatbot.core.card import Choice

SNOOZE_MINUTES = 30
_VERSION = "1"


class UnknownButton(ValueError):
    """A button that this version of the bot does not know."""


@dataclass(frozen=True)
class Target:
    """What a button is about. It holds no feature's name, and works years later."""

    incident: str
    """`incidents/{incident}`"""
    mitigation: str = ""
    """`incidents/{incident}/mitigations/{mitigation}`; empty where none is meant."""
    seen: str = ""
    """What the message showed: the hash of a plan, or of what is in force the etag. Nothing else is
    decided by it."""

    def encode(self) -> str:
        """Return the button's value, at most 150 letters, digits, dots and dashes."""
        incident = self.incident.removeprefix("incidents/")
        ordinal = self.mitigation.rpartition("/")[2]
        return ".".join((_VERSION, incident, ordinal, self.seen))

    @classmethod
    def decode(cls, value: str) -> Self:
        """Return what a button's value stands for. Raises UnknownButton."""
        version, *parts = value.split(".")
        if version != _VERSION or len(parts) != 3 or not parts[0]:
            raise UnknownButton("this button is of another version: use a newer message")
        incident, ordinal, seen = parts
        name = f"incidents/{incident}"
        return cls(name, f"{name}/mitigations/{ordinal}" if ordinal else "", seen)


@dataclass(frozen=True)
class Decision:
    """A choice of somebody in a chat."""

    choice: Choice
    target: Target
    identity: str
    """Who chose, as the chat system knows them: `slack:T012AB/U034CD`."""
    reason: str = ""
