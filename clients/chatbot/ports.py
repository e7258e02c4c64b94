"""What the use cases need from outside."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aftershock.v1.incident_pb2 import Incident
from aftershock.v1.surface_pb2 import Surface
from clients.chatbot.core.card import Card, Note, Picture
from clients.chatbot.core.decision import Target
from clients.chatbot.core.surroundings import Surroundings


class ChatUnavailable(Exception):
    """The chat system does not answer, or asks to wait. The same call may succeed later."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ChatRefused(Exception):
    """The chat system will never take this: the text says why, and what to mend."""


class MessageGone(ChatRefused):
    """Somebody deleted the message."""


class SurfaceBusy(Exception):
    """Another bot brings the message up to date."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(Exception):
    """The runbook refuses a decision. The text is for the person who took it."""


class RunbookUnavailable(Exception):
    """The runbook does not answer. The same call may succeed later."""

    retry_after = 1.0


@dataclass(frozen=True)
class Found:
    """What of an incident is in a room already."""

    message: str
    """Reference of the message."""
    keys: frozenset[str] = field(default=frozenset())
    """Keys of the notes and pictures in its thread."""


class Room(Protocol):
    """One channel of one chat system: the transport.

    `reference` is what `post` returned, up to 512 characters, opaque to everybody else. `key` names
    one message for good and travels with it, so that `find` knows it again. All methods raise
    ChatUnavailable where the same call may succeed later, and ChatRefused where it never will.
    """

    @property
    def surface(self) -> str:
        """Names the room for good, and its chat system first: `slack.C012AB`. Letters, digits,
        `_.-`, at most 128."""

    async def post(self, key: str, card: Card) -> str:
        """Post a message and return its reference. Not idempotent: `find` first after a failure."""

    async def update(self, reference: str, card: Card) -> None:
        """Make a message show the card. Idempotent. Raises MessageGone."""

    async def reply(self, reference: str, note: Note) -> None:
        """Add a note to the message's thread. Not idempotent."""

    async def attach(self, reference: str, key: str, picture: Picture) -> None:
        """Add a picture to the message's thread. Not idempotent."""

    async def find(self, key: str) -> Found | None:
        """Return what this bot has posted under the key, whoever of its copies did."""


class Watching(Protocol):
    """Incidents, as the runbook tells them to the bot itself."""

    def changes(self) -> AsyncIterator[Incident]:
        """Yield each incident as it is now, oldest first, then whenever it changes, without end."""


class Reading(Protocol):
    """Incidents, as somebody in a chat may see them: the runbook looks up who that is.

    All raise Refused, whose text is for that person, and RunbookUnavailable.
    """

    async def incident(self, identity: str, name: str) -> Incident:
        """Return one."""

    async def newest(self, identity: str, model: str | None, limit: int) -> Sequence[Incident]:
        """Return the newest, first."""

    async def paused(self, identity: str) -> str:
        """Return who stopped all mitigations and why; empty if nobody did."""


class Surfaces(Protocol):
    """Where messages are, kept by the runbook."""

    async def claim(self, name: str) -> Surface:
        """Become the only one that brings it up to date, for half a minute.

        Raises:
            SurfaceBusy: another one is.
            RunbookUnavailable: try again.
        """

    async def record(self, surface: Surface, *, release: bool) -> Surface:
        """Keep it as it is now; return it with its new etag.

        Raises:
            SurfaceBusy: the claim was lost.
            RunbookUnavailable: try again.
        """


class Deciding(Protocol):
    """Decisions, in the name of somebody in a chat: the runbook looks up who that is, checks what
    they may do, and keeps it. Taking the same decision twice counts once.

    All raise Refused, whose text is for that person, and RunbookUnavailable.
    """

    async def approve(self, identity: str, target: Target) -> None:
        """Say yes to the plan."""

    async def reject(self, identity: str, target: Target, reason: str) -> None:
        """Say no to the plan."""

    async def snooze(self, identity: str, target: Target, minutes: int) -> None:
        """Call nobody about the incident for a while."""

    async def pause(self, identity: str, reason: str) -> None:
        """Stop all mitigations."""

    async def resume(self, identity: str, reason: str) -> None:
        """Let them go on."""


class Steering(Protocol):
    """What becomes of a mitigation in force, in the name of somebody in a chat, as in `Deciding`.

    Where it has changed since the message showed it, `renew` and `release` are refused.
    """

    async def renew(self, identity: str, target: Target, reason: str) -> None:
        """Begin its lease anew, or put in force again what is being released."""

    async def release(self, identity: str, target: Target, reason: str) -> None:
        """Serve its features again by stages."""

    async def revert(self, identity: str, target: Target, reason: str) -> None:
        """Undo it."""


class Lineage(Protocol):
    """What is around an incident."""

    async def around(self, incident: Incident) -> Surroundings:
        """Return it, as far as anybody knows just now. Changes nothing, and never fails."""


class Pictures(Protocol):
    """Plots."""

    def names(self, incident: Incident) -> Sequence[str]:
        """Return the names of the plots that an incident should have by now."""

    async def draw(self, incident: Incident, name: str) -> Picture | None:
        """Return a plot; None while its data is not there. Changes nothing."""
