"""A Matrix room, by the client-server API. It must not be encrypted."""

import hashlib
from typing import Any
from urllib.parse import quote

from clients.chatbot.adapters.matrix_client import MatrixClient
from clients.chatbot.adapters.matrix_html import headline_of, message_of, note_of, picture_of
from clients.chatbot.adapters.matrix_shown import key_of, told, versions
from clients.chatbot.core.card import Card, Note, Picture
from clients.chatbot.ports import Found, MessageGone

_MESSAGE = "m.room.message"
_SURFACE_LENGTH = 128

Json = dict[str, Any]


class MatrixRoom:
    """A room. A message's reference is its event's id.

    Each transaction's id is made of what is sent, so that whatever is sent again, by this copy of
    the bot or by another one, is there once.
    """

    def __init__(self, client: MatrixClient) -> None:
        self._client = client

    @property
    def surface(self) -> str:
        """`matrix.{room}`, where what else than letters, digits, `-` and `.` is written `_3A`."""
        room = quote(self._client.room, safe="").replace("_", "%5F").replace("~", "%7E")
        room = room.replace("%", "_")
        name = f"matrix.{room}"
        if len(name) <= _SURFACE_LENGTH:
            return name
        return f"matrix.{hashlib.sha256(room.encode()).hexdigest()}"

    async def post(self, key: str, card: Card) -> str:
        """Post a message and return its reference."""
        return await self._send(message_of(card) | told(key, card), "post", key, card.digest)

    async def update(self, reference: str, card: Card) -> None:
        """Make a message show the card, by an edit."""
        shown = await versions(self._client, reference)
        if not shown:
            raise MessageGone(f"there is no message {reference} any more")
        if shown[0].digest == card.digest:
            return
        content = message_of(card) | told(card.incident, card)
        edit = {
            "msgtype": content["msgtype"],
            "body": headline_of(card),
            "m.mentions": {},
            "m.new_content": content,
            "m.relates_to": {"rel_type": "m.replace", "event_id": reference},
        }
        # The message may show the same card a second time, later: what it shows now is in the id.
        await self._send(edit, "edit", reference, shown[0].event, card.digest)

    async def reply(self, reference: str, note: Note) -> None:
        """Add a note to the message's thread."""
        content = note_of(note) | told(note.key) | in_thread(reference)
        await self._send(content, "note", reference, note.key)

    async def attach(self, reference: str, key: str, picture: Picture) -> None:
        """Upload a picture, and show it in the message's thread."""
        name = f"{key.replace('/', '_')}.png"
        address = await self._client.upload(name, picture.png)
        content = picture_of(picture, name, address) | told(key) | in_thread(reference)
        await self._send(content, "plot", reference, key)

    async def find(self, key: str) -> Found | None:
        """Return what this account has posted under the key."""
        async for event in self._client.mine():
            if key_of(event) == key:
                reference = event["event_id"]
                thread = self._client.relations(reference, "m.thread")
                keys = {key_of(reply) async for reply in thread}
                return Found(reference, frozenset(keys - {""}))
        return None

    async def _send(self, content: Json, *what: str) -> str:
        """Send once, and once more for each time that somebody deleted it."""
        while True:
            sent = await self._client.send(_MESSAGE, content, transaction(*what))
            if await self._client.event(sent) is not None:
                return sent
            what = (*what, sent)


def in_thread(message: str, answered: str = "") -> Json:
    """Return the field that puts an event into a message's thread.

    Args:
        message: the first of the thread.
        answered: the event that it is a reply to; empty for none.
    """
    return {
        "m.relates_to": {
            "rel_type": "m.thread",
            "event_id": message,
            # Clients without threads show a reply.
            "is_falling_back": not answered,
            "m.in_reply_to": {"event_id": answered or message},
        }
    }


def transaction(*what: str) -> str:
    """Return the id of a transaction that is about these words."""
    return hashlib.sha256("\n".join(what).encode()).hexdigest()
