"""A Slack channel, by the Web API.

Takes the scopes `chat:write`, `files:write` and `channels:history` (`groups:history` of a private
channel), and a bot that is in the channel.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from clients.chatbot.adapters.slack_blocks import message_of, note_of
from clients.chatbot.core.card import Card, Note, Picture
from clients.chatbot.ports import ChatRefused, ChatUnavailable, Found, MessageGone

_EVENT = "aftershock_message"
_PAGE = 200
_MOST_PAGES = 20
_RETRIES = 3
_GONE = frozenset({"message_not_found", "thread_not_found", "invalid_thread_ts"})
_LATER = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"}
)
_QUIET: dict[str, Any] = {
    "parse": "none",
    "link_names": False,
    "mrkdwn": False,
    "unfurl_links": False,
    "unfurl_media": False,
}
"""Nothing in `text` is looked for mentions and links."""


def open_web_client(token: str, base_url: str = AsyncWebClient.BASE_URL) -> AsyncWebClient:
    """Return a client that waits as long as Slack tells it to, some times."""
    limits = AsyncRateLimitErrorRetryHandler(max_retry_count=_RETRIES)
    return AsyncWebClient(token=token, base_url=base_url, retry_handlers=[limits])


class SlackRoom:
    """A channel. A message's reference is `{channel}/{ts}`."""

    def __init__(self, client: AsyncWebClient, channel: str) -> None:
        self._client = client
        self._channel = channel

    @property
    def surface(self) -> str:
        """`slack.{channel}`"""
        return f"slack.{self._channel}"

    async def post(self, key: str, card: Card) -> str:
        """Post a message and return its reference."""
        with _slack():
            answer = await self._client.chat_postMessage(
                channel=self._channel, metadata=_metadata(key), **message_of(card), **_QUIET
            )
        return f"{answer['channel']}/{answer['ts']}"

    async def update(self, reference: str, card: Card) -> None:
        """Make a message show the card."""
        channel, ts = _place(reference)
        with _slack():
            await self._client.chat_update(
                channel=channel, ts=ts, parse="none", link_names=False, **message_of(card)
            )

    async def reply(self, reference: str, note: Note) -> None:
        """Add a note to the message's thread."""
        channel, ts = _place(reference)
        with _slack():
            await self._client.chat_postMessage(
                channel=channel,
                thread_ts=ts,
                metadata=_metadata(note.key),
                **note_of(note),
                **_QUIET,
            )

    async def attach(self, reference: str, key: str, picture: Picture) -> None:
        """Upload a picture into the message's thread, in three steps."""
        channel, ts = _place(reference)
        with _slack():
            await self._client.files_upload_v2(
                channel=channel,
                thread_ts=ts,
                content=picture.png,
                filename=_file_name(key),
                title=picture.title,
                alt_txt=picture.alt_text,
            )

    async def find(self, key: str) -> Found | None:
        """Return what this app has posted under the key."""
        with _slack():
            mine = (await self._client.auth_test())["bot_id"]
            async for message in self._pages("history", channel=self._channel):
                if message.get("bot_id") == mine and _key_of(message) == key:
                    reference = f"{self._channel}/{message['ts']}"
                    return Found(reference, await self._keys(message["ts"]))
        return None

    async def _keys(self, ts: str) -> frozenset[str]:
        keys: set[str] = set()
        async for reply in self._pages("replies", channel=self._channel, ts=ts):
            keys.add(_key_of(reply))
            keys.update(_key_of_file(file["name"]) for file in reply.get("files", ()))
        return frozenset(keys)

    async def _pages(self, of: str, **where: str) -> AsyncIterator[dict[str, Any]]:
        cursor = ""
        for _ in range(_MOST_PAGES):
            page = await self._client.api_call(
                f"conversations.{of}",
                params={**where, "limit": _PAGE, "cursor": cursor, "include_all_metadata": 1},
            )
            for message in page["messages"]:
                yield message
            cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                return


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": _EVENT, "event_payload": {"key": key}}


def _key_of(message: dict[str, Any]) -> str:
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != _EVENT:
        return ""
    return str(metadata["event_payload"].get("key", ""))


def _file_name(key: str) -> str:
    return key.replace("/", "_") + ".png"


def _key_of_file(name: str) -> str:
    return name.removesuffix(".png").replace("_", "/")


def _place(reference: str) -> tuple[str, str]:
    channel, _, ts = reference.partition("/")
    return channel, ts


@contextmanager
def _slack() -> Iterator[None]:
    """Say what went wrong in the port's words."""
    try:
        yield
    except SlackApiError as error:
        raise _named(error) from error
    except (TimeoutError, SlackClientError, aiohttp.ClientError, json.JSONDecodeError) as error:
        raise ChatUnavailable(f"Slack does not answer: {error!r}") from error


def _named(error: SlackApiError) -> Exception:
    answer: Any = error.response
    status = getattr(answer, "status_code", 200)
    data = answer.data if isinstance(getattr(answer, "data", None), dict) else {}
    said = str(data.get("error", f"HTTP {status}"))
    faults = "; ".join((data.get("response_metadata") or {}).get("messages") or ())
    text = f"Slack refuses: {said}" + (f": {faults}" if faults else "")
    if said in _GONE:
        return MessageGone(text)
    if said in _LATER or status >= 429:
        return ChatUnavailable(text, float(answer.headers.get("Retry-After", 1)))
    return ChatRefused(text)
