"""People in a Matrix room: what they see there, and what they do."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.synapse import Account

Json = dict[str, Any]
_MOST = 500


@dataclass(frozen=True)
class MatrixMessage:
    """A message at the top of the room, as clients show it."""

    event: str
    sender: str
    content: Json
    """After the newest edit."""
    edits: int
    thread: Sequence[Json]
    """Events, oldest first."""

    @property
    def body(self) -> str:
        """Plain text."""
        return str(self.content["body"])

    @property
    def told(self) -> str:
        """Plain text of the thread."""
        return "\n".join(reply["content"]["body"] for reply in self.thread)

    def answers_to(self, user: str) -> list[str]:
        """Return what calls somebody in the thread."""
        return [
            reply["content"]["body"]
            for reply in self.thread
            if reply["content"].get("m.mentions") == {"user_ids": [user]}
        ]

    @property
    def plots(self) -> list[Json]:
        """Contents of the pictures in the thread."""
        contents = [reply["content"] for reply in self.thread]
        return [content for content in contents if content["msgtype"] == "m.image"]


@dataclass(frozen=True)
class MatrixPerson:
    """Somebody in a room. All methods block."""

    account: Account
    room: str

    def messages(self) -> list[MatrixMessage]:
        """Return the messages at the top of the room, oldest first, without deleted ones."""
        events = [e for e in self._events() if e["type"] == "m.room.message" and e["content"]]
        about: dict[str, list[Json]] = {}
        top = []
        for event in events:
            relation = event["content"].get("m.relates_to", {})
            if "rel_type" in relation:
                about.setdefault(relation["event_id"], []).append(event)
            else:
                top.append(event)
        return [_message(event, about.get(event["event_id"], [])) for event in top]

    def react(self, event: str, mark: str) -> str:
        """Put an emoji under a message; return the reaction's event."""
        relation = {"rel_type": "m.annotation", "event_id": event, "key": mark}
        return self.send("m.reaction", {"m.relates_to": relation})

    def reply(self, event: str, text: str) -> str:
        """Reply to a message."""
        return self.say(text, {"m.in_reply_to": {"event_id": event}})

    def write_in_thread(self, event: str, text: str) -> str:
        """Write in the thread under a message."""
        return self.say(text, {"rel_type": "m.thread", "event_id": event})

    def say(self, text: str, relation: Json | None = None) -> str:
        """Write into the room."""
        content: Json = {"msgtype": "m.text", "body": text}
        return self.send("m.room.message", content | ({"m.relates_to": relation or {}}))

    def delete(self, event: str) -> None:
        """Delete an event."""
        self.account.call("PUT", self._path("redact", event, secrets.token_hex(8)), {})

    def picture(self, address: str) -> bytes:
        """Download what an address, `mxc://...`, stands for."""
        path = f"/_matrix/client/v1/media/download/{address.removeprefix('mxc://')}"
        return self.account.download(path)

    def send(self, kind: str, content: Json) -> str:
        """Send an event."""
        sent = self.account.call("PUT", self._path("send", kind, secrets.token_hex(8)), content)
        return str(sent["event_id"])

    def _events(self) -> list[Json]:
        path = f"{self._path('messages')}?dir=b&limit={_MOST}"
        found: list[Json] = self.account.call("GET", path)["chunk"]
        return found[::-1]

    def _path(self, *parts: str) -> str:
        path = "/".join(quote(part, safe="") for part in (self.room, *parts))
        return f"/_matrix/client/v3/rooms/{path}"


def open_room(owner: Account, *guests: Account) -> str:
    """Make a room of somebody, in which the guests are; return its id."""
    invited = [guest.user for guest in guests]
    wanted = {"preset": "private_chat", "invite": invited, "name": "Incidents"}
    room = str(owner.call("POST", "/_matrix/client/v3/createRoom", wanted)["room_id"])
    for guest in guests:
        guest.call("POST", f"/_matrix/client/v3/join/{quote(room, safe='')}", {})
    return room


def _message(event: Json, about: Sequence[Json]) -> MatrixMessage:
    edits = [e for e in about if e["content"]["m.relates_to"]["rel_type"] == "m.replace"]
    thread = [e for e in about if e["content"]["m.relates_to"]["rel_type"] == "m.thread"]
    content = edits[-1]["content"]["m.new_content"] if edits else event["content"]
    return MatrixMessage(event["event_id"], event["sender"], content, len(edits), thread)
