"""A room in memory: for trying things out, and for tests."""

from dataclasses import dataclass, field

from clients.chatbot.core.card import Card, Note, Picture
from clients.chatbot.ports import Found, MessageGone


@dataclass
class Message:
    """A message with its thread."""

    key: str
    card: Card
    notes: list[Note] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    updates: int = 0


class MemoryRoom:
    """Keeps messages until the process ends. Several bots may share one."""

    surface = "memory.room"

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self._posted = 0

    async def post(self, key: str, card: Card) -> str:
        """Post a message and return its reference."""
        self._posted += 1
        self.messages[str(self._posted)] = Message(key, card)
        return str(self._posted)

    async def update(self, reference: str, card: Card) -> None:
        """Make a message show the card. Raises MessageGone."""
        message = self._message(reference)
        message.card = card
        message.updates += 1

    async def reply(self, reference: str, note: Note) -> None:
        """Add a note to a message's thread. Raises MessageGone."""
        self._message(reference).notes.append(note)

    async def attach(self, reference: str, key: str, picture: Picture) -> None:
        """Add a picture to a message's thread. Raises MessageGone."""
        self._message(reference).pictures[key] = picture

    async def find(self, key: str) -> Found | None:
        """Return what was posted under the key."""
        for reference, message in self.messages.items():
            if message.key == key:
                keys = {note.key for note in message.notes} | message.pictures.keys()
                return Found(reference, frozenset(keys))
        return None

    def _message(self, reference: str) -> Message:
        try:
            return self.messages[reference]
        except KeyError:
            raise MessageGone(f"there is no message {reference}") from None
