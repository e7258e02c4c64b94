"""What a Slack workspace holds: channels, messages, views, files, and who sees what."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = Any
TEAM, TEAM_DOMAIN = "T1", "example"
BOT_USER, BOT_ID, APP_ID = "UBOT", "B1", "A1"


@dataclass
class Message:
    """A message that everybody in its channel sees."""

    channel: str
    ts: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    metadata: Json = None
    thread_ts: str | None = None
    files: list["File"] = field(default_factory=list)
    updates: int = 0
    is_deleted: bool = False

    def as_json(self, *, with_metadata: bool) -> dict[str, Json]:
        """Return it as the Web API tells it."""
        told: dict[str, Json] = {
            "type": "message",
            "ts": self.ts,
            "text": self.text,
            "user": BOT_USER,
            "bot_id": BOT_ID,
            "app_id": APP_ID,
            "team": TEAM,
            "blocks": self.blocks,
        }
        if self.thread_ts:
            told["thread_ts"] = self.thread_ts
        if self.metadata and with_metadata:
            told["metadata"] = self.metadata
        if self.files:
            told["files"] = [file.as_json() for file in self.files]
        return told


@dataclass
class Whisper:
    """A message that one person sees, and that is gone with the next reload."""

    user: str
    channel: str
    text: str
    blocks: list[Json]

    @property
    def words(self) -> str:
        """All text in it."""
        return words(self.blocks) or self.text


@dataclass
class File:
    """A file, from the moment that somebody asked where to upload it."""

    id: str
    name: str
    length: int
    alt_text: str
    title: str = ""
    content: bytes | None = None
    is_complete: bool = False

    def as_json(self) -> dict[str, Json]:
        """Return it as the Web API tells it."""
        return {"id": self.id, "name": self.name, "title": self.title, "size": self.length}


@dataclass
class World:
    """Everything that was posted."""

    members: dict[str, set[str]] = field(default_factory=lambda: {"C1": {BOT_USER}})
    """Who is in which channel."""
    messages: list[Message] = field(default_factory=list)
    whispers: list[Whisper] = field(default_factory=list)
    views: list[Json] = field(default_factory=list)
    files: dict[str, File] = field(default_factory=dict)
    _count: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def next_id(self, prefix: str) -> str:
        """Return an id that nothing else has."""
        return f"{prefix}{next(iter(self._count)):08d}"

    def post(self, channel: str, now: float, text: str, blocks: list[Json]) -> Message:
        """Add a message, after all others."""
        ts = f"{int(now)}.{next(iter(self._count)):06d}"
        message = Message(channel, ts, text, blocks)
        self.messages.append(message)
        return message

    def find(self, channel: str, ts: str) -> Message | None:
        """Return a message, unless it was deleted."""
        found = (m for m in self.messages if (m.channel, m.ts) == (channel, ts))
        return next((message for message in found if not message.is_deleted), None)

    def in_channel(self, channel: str) -> list[Message]:
        """Return the messages of a channel outside of threads, oldest first."""
        return [m for m in self.messages if m.channel == channel and m.thread_ts is None]

    def thread(self, message: Message) -> list[Message]:
        """Return the replies to a message, oldest first."""
        place = (message.channel, message.ts)
        return [m for m in self.messages if (m.channel, m.thread_ts) == place]


def words(node: Json) -> str:
    """Return all text in blocks, in order."""
    if isinstance(node, list):
        return "".join(map(words, node))
    if not isinstance(node, dict):
        return ""
    own = node["text"] if isinstance(node.get("text"), str) else words(node.get("text"))
    rest = "".join(words(value) for name, value in node.items() if name in {"elements", "fields"})
    end = "\n" if node.get("type") in {"header", "rich_text", "section", "actions"} else ""
    return own + rest + end
