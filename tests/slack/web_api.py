"""Slack's Web API, as far as a bot needs it, as strict as the real one."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.slack import limits
from tests.slack.blocks import characters, faults_of_message, faults_of_view
from tests.slack.world import APP_ID, BOT_ID, BOT_USER, TEAM, File, Json, Message, Whisper, World

Arguments = Mapping[str, Any]


class ApiError(Exception):
    """What the method answers instead: `ok` is false."""

    def __init__(self, error: str, messages: list[str] | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.messages = messages or []


class RateLimited(ApiError):
    """HTTP 429."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("ratelimited")
        self.retry_after = retry_after


@dataclass
class Bucket:
    """Lets a burst through, then so many a second."""

    burst: float = limits.POST_BURST
    room: float = limits.POST_BURST
    since: float = 0.0
    closed_until: float = 0.0
    """Whoever asks before then has not waited as told."""

    def take(self, now: float) -> int:
        """Return 0, or the seconds to wait."""
        self.room = min(self.burst, self.room + (now - self.since) * limits.POSTS_A_SECOND)
        self.since = now
        if self.room >= 1:
            self.room -= 1
            return 0
        self.closed_until = now + 1
        return 1


@dataclass
class WebApi:
    """The methods. `violations` collects what the real Slack would have refused."""

    world: World
    now: Callable[[], float]
    base_url: str = ""
    violations: list[str] = field(default_factory=list)
    triggers: dict[str, float] = field(default_factory=dict)
    """Trigger id -> until when."""
    tickets: set[str] = field(default_factory=set)
    refusals: dict[str, list[ApiError]] = field(default_factory=lambda: defaultdict(list))
    """By method: what it answers next, as a test wants it."""
    calls: list[tuple[str, Arguments]] = field(default_factory=list)
    _buckets: dict[str, Bucket] = field(default_factory=lambda: defaultdict(Bucket))

    def call(self, method: str, arguments: Arguments) -> Json:
        """Answer a call. Raises ApiError."""
        self.calls.append((method, arguments))
        if self.refusals[method]:
            raise self.refusals[method].pop(0)
        handler = self._methods().get(method)
        if handler is None:
            self.violate(f"{method}: unknown_method")
            raise ApiError("unknown_method")
        return handler(arguments)

    def violate(self, what: str) -> None:
        """Note what the real Slack would not have taken."""
        self.violations.append(what)

    def _methods(self) -> Mapping[str, Callable[[Arguments], Json]]:
        return {
            "apps.connections.open": self._open_connection,
            "auth.test": self._auth_test,
            "chat.postEphemeral": self._post_ephemeral,
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "files.completeUploadExternal": self._complete_upload,
            "files.getUploadURLExternal": self._upload_url,
            "views.open": self._open_view,
        }

    def _auth_test(self, _: Arguments) -> Json:
        names = {"team": "example", "user": "aftershock"}
        ids = {"team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT_ID, "app_id": APP_ID}
        return {"url": "https://example.slack.com/", "is_enterprise_install": False, **names, **ids}

    def _open_connection(self, _: Arguments) -> Json:
        ticket = self.world.next_id("ticket")
        self.tickets.add(ticket)
        return {"url": f"{self.base_url.replace('http', 'ws', 1)}/link?ticket={ticket}"}

    def _post_message(self, arguments: Arguments) -> Json:
        channel = self._channel(arguments)
        self._take_turn(channel)
        text, blocks = self.content(arguments, limits.TEXT, "chat.postMessage")
        thread_ts = arguments.get("thread_ts")
        if thread_ts and not self.world.find(channel, thread_ts):
            raise ApiError("thread_not_found")
        metadata = self._metadata(arguments)
        message = self.world.post(channel, self.now(), text, blocks)
        message.thread_ts, message.metadata = thread_ts, metadata
        return {
            "channel": channel,
            "ts": message.ts,
            "message": message.as_json(with_metadata=True),
        }

    def _take_turn(self, channel: str) -> None:
        bucket, now = self._buckets[channel], self.now()
        if now < bucket.closed_until:
            self.violate(f"chat.postMessage: called again before Retry-After was over in {channel}")
        if wait := bucket.take(now):
            raise RateLimited(wait)

    def _update(self, arguments: Arguments) -> Json:
        message = self._message(arguments, "message_not_found")
        text, blocks = self.content(arguments, limits.UPDATED_TEXT, "chat.update")
        message.text, message.blocks = text, blocks
        message.metadata = self._metadata(arguments) or message.metadata
        message.updates += 1
        return {"channel": message.channel, "ts": message.ts, "text": text}

    def _post_ephemeral(self, arguments: Arguments) -> Json:
        channel, user = self._channel(arguments), str(arguments.get("user"))
        if user not in self.world.members[channel]:
            raise ApiError("user_not_in_channel")
        text, blocks = self.content(arguments, limits.TEXT, "chat.postEphemeral")
        self.world.whispers.append(Whisper(user, channel, text, blocks))
        return {"message_ts": self.world.next_id("17")}

    def content(self, arguments: Arguments, most: int, method: str) -> tuple[str, list[Json]]:
        """Return text and blocks. Raises ApiError where the real Slack would not take them."""
        text, blocks = arguments.get("text") or "", arguments.get("blocks") or []
        if not text and not blocks:
            raise self._refusal(method, "no_text")
        if len(text) > most:
            raise self._refusal(method, "msg_too_long")
        if faults := faults_of_message(blocks):
            raise self._refusal(method, "invalid_blocks", faults)
        if characters(blocks) > limits.CHARACTERS_IN_BLOCKS:
            raise self._refusal(method, "msg_blocks_too_long")
        return text, blocks

    def _refusal(self, method: str, error: str, faults: list[str] | None = None) -> ApiError:
        self.violate(f"{method}: {error}" + "".join(f"\n  {fault}" for fault in faults or ()))
        return ApiError(error, faults)

    def _metadata(self, arguments: Arguments) -> Json:
        metadata = arguments.get("metadata")
        if metadata is None:
            return None
        known = isinstance(metadata, dict) and metadata.keys() == {"event_type", "event_payload"}
        if not known or not isinstance(metadata["event_payload"], dict):
            raise self._refusal("metadata", "invalid_metadata_format")
        return metadata

    def _channel(self, arguments: Arguments) -> str:
        channel = str(arguments.get("channel") or arguments.get("channel_id"))
        if channel not in self.world.members:
            raise ApiError("channel_not_found")
        if BOT_USER not in self.world.members[channel]:
            raise ApiError("not_in_channel")
        return channel

    def _message(self, arguments: Arguments, error: str) -> Message:
        found = self.world.find(self._channel(arguments), str(arguments.get("ts")))
        if found is None:
            raise ApiError(error)
        return found

    def _history(self, arguments: Arguments) -> Json:
        newest_first = self.world.in_channel(self._channel(arguments))[::-1]
        return self._page([m for m in newest_first if not m.is_deleted], arguments)

    def _replies(self, arguments: Arguments) -> Json:
        parent = self._message(arguments, "thread_not_found")
        return self._page([parent, *self.world.thread(parent)], arguments)

    def _page(self, messages: list[Message], arguments: Arguments) -> Json:
        start, size = int(arguments.get("cursor") or 0), int(arguments.get("limit") or 100)
        if size > 999:
            raise self._refusal("conversations", "invalid_limit")
        shows = _is_true(arguments.get("include_all_metadata"))
        more = start + size < len(messages)
        return {
            "messages": [m.as_json(with_metadata=shows) for m in messages[start : start + size]],
            "has_more": more,
            "response_metadata": {"next_cursor": str(start + size) if more else ""},
        }

    def _upload_url(self, arguments: Arguments) -> Json:
        if not arguments.get("filename") or int(arguments.get("length") or 0) < 1:
            raise self._refusal("files.getUploadURLExternal", "invalid_arguments")
        alt_text = str(arguments.get("alt_txt") or "")
        if len(alt_text) > 1000:
            raise self._refusal("files.getUploadURLExternal", "alt_txt_too_large")
        name, length = str(arguments["filename"]), int(arguments["length"])
        file = File(self.world.next_id("F"), name, length, alt_text)
        self.world.files[file.id] = file
        return {"file_id": file.id, "upload_url": f"{self.base_url}/upload/{file.id}"}

    def _complete_upload(self, arguments: Arguments) -> Json:
        done = []
        for wanted in arguments.get("files") or []:
            file = self.world.files.get(wanted["id"])
            if file is None or file.content is None:
                raise self._refusal("files.completeUploadExternal", "file_not_found")
            file.title, file.is_complete = wanted.get("title", ""), True
            done.append(file)
        if arguments.get("channel_id"):
            self._share(done, arguments)
        return {"files": [file.as_json() for file in done]}

    def _share(self, files: list[File], arguments: Arguments) -> None:
        channel, thread_ts = self._channel(arguments), arguments.get("thread_ts")
        if thread_ts and not self.world.find(channel, thread_ts):
            raise ApiError("invalid_thread_ts")
        comment = str(arguments.get("initial_comment") or "")
        message = self.world.post(channel, self.now(), comment, [])
        message.thread_ts, message.files = thread_ts, files

    def _open_view(self, arguments: Arguments) -> Json:
        trigger, view = str(arguments.get("trigger_id")), arguments.get("view")
        if trigger not in self.triggers:
            raise self._refusal("views.open", "invalid_trigger_id")
        until = self.triggers[trigger]
        self.triggers[trigger] = 0.0
        if until == 0.0:
            raise self._refusal("views.open", "exchanged_trigger_id")
        if self.now() > until:
            raise self._refusal("views.open", "expired_trigger_id")
        if faults := faults_of_view(view):
            raise self._refusal("views.open", "invalid_arguments", faults)
        opened = {**(view or {}), "id": self.world.next_id("V"), "team_id": TEAM}
        self.world.views.append(opened)
        return {"view": opened}


def _is_true(value: Json) -> bool:
    return value in {True, "1", "true"}
