"""A Matrix homeserver, by its client-server API: what one bot asks of it about one room.

Plain HTTP. A client library would parse away the fields that this bot adds to its messages, cannot
keep account data, and brings the cryptography of rooms that this bot does not read.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from clients.chatbot.ports import ChatRefused, ChatUnavailable

_log = logging.getLogger(__name__)
_V3, _V1, _MEDIA = "/_matrix/client/v3", "/_matrix/client/v1", "/_matrix/media/v3"
_HANDLED = "aftershock.handled"
_POLL_SECONDS = 30
_ANSWER_SECONDS = 60
_RETRIES = 3
_LONGEST_WAIT = 30.0
_PAGE = 100
_MOST_PAGES = 20
_NONE: Mapping[str, Any] = {"types": []}

Json = dict[str, Any]


class MatrixClient:
    """One account in one room. Waits as long as the server tells it to, some times.

    All methods raise ChatUnavailable where the same call may succeed later, else ChatRefused.
    """

    def __init__(self, url: str, token: str, room: str) -> None:
        """Keep to one room.

        Args:
            url: of the homeserver.
            token: access token of the bot's account. All copies of the bot use the same one, since
                the server knows transactions again by the token.
            room: its id, `!abc:example.org`.
        """
        self.room = room
        self._url = url.rstrip("/")
        self._token = token
        self._place = f"{_V3}/rooms/{_quoted(room)}"
        self._me = ""

    async def me(self) -> str:
        """Return the bot's own user id."""
        if not self._me:
            self._me = (await self._call("GET", f"{_V3}/account/whoami"))["user_id"]
        return self._me

    async def join(self) -> None:
        """Accept the invitation to the room, if that is still to do.

        Raises ChatRefused if what is said in the room is encrypted.
        """
        await self._call("POST", f"{_V3}/join/{_quoted(self.room)}", content={})
        try:
            await self._call("GET", f"{self._place}/state/m.room.encryption/")
        except _NotFound:
            return
        raise ChatRefused(f"{self.room} is encrypted: make a room without encryption")

    async def send(self, kind: str, content: Json, transaction: str) -> str:
        """Send an event and return its id. The same transaction again sends nothing."""
        path = f"{self._place}/send/{_quoted(kind)}/{_quoted(transaction)}"
        return str((await self._call("PUT", path, content=content))["event_id"])

    async def event(self, event: str) -> Json | None:
        """Return an event of the room; None if there is none, or if somebody deleted it."""
        try:
            found = await self._call("GET", f"{self._place}/event/{_quoted(event)}")
        except _NotFound:
            return None
        return None if "redacted_because" in found.get("unsigned", {}) else found

    async def relations(self, event: str, relation: str) -> AsyncIterator[Json]:
        """Yield what is related to an event, newest first."""
        path = f"{_V1}/rooms/{_quoted(self.room)}/relations/{_quoted(event)}/{_quoted(relation)}"
        async for page in self._pages(path, "next_batch", {}):
            yield page

    async def mine(self) -> AsyncIterator[Json]:
        """Yield what the bot has said in the room, newest first."""
        which = {"types": ["m.room.message"], "senders": [await self.me()]}
        query = {"dir": "b", "filter": json.dumps(which)}
        async for event in self._pages(f"{self._place}/messages", "end", query):
            yield event

    async def upload(self, name: str, png: bytes) -> str:
        """Keep a picture on the server and return its address."""
        query = {"filename": name}
        return str((await self._call("POST", f"{_MEDIA}/upload", query, png))["content_uri"])

    async def news(self, since: str) -> tuple[str, list[Json]]:
        """Wait half a minute for what people do; return the next `since`, and it, oldest first.

        Without `since` it does not wait, and returns the last of it.
        """
        which = await self._of_people()
        room = {"rooms": [self.room], "timeline": which, "state": _NONE}
        quiet = {"ephemeral": _NONE, "account_data": _NONE}
        wanted = {"room": {**room, **quiet}, "presence": _NONE, "account_data": _NONE}
        query = {"filter": json.dumps(wanted), "timeout": str(1000 * _POLL_SECONDS)}
        batch = await self._call("GET", f"{_V3}/sync", {**query, **_given(since=since)})
        joined = batch.get("rooms", {}).get("join", {}).get(self.room, {})
        timeline = joined.get("timeline", {})
        events = list(timeline.get("events", ()))
        if since and timeline.get("limited"):
            events = await self._between(since, timeline["prev_batch"]) + events
        return str(batch["next_batch"]), events

    async def handled(self) -> Json:
        """Return what `keep` kept; empty if nothing."""
        try:
            return await self._call("GET", await self._kept())
        except _NotFound:
            return {}

    async def keep(self, handled: Json) -> None:
        """Keep on the server how far the bot has come, for whichever copy runs next."""
        await self._call("PUT", await self._kept(), content=handled)

    async def _kept(self) -> str:
        user, room = _quoted(await self.me()), _quoted(self.room)
        return f"{_V3}/user/{user}/rooms/{room}/account_data/{_HANDLED}"

    async def _of_people(self) -> Json:
        return {"types": ["m.reaction", "m.room.message"], "not_senders": [await self.me()]}

    async def _between(self, since: str, until: str) -> list[Json]:
        """Return what a batch left out, oldest first."""
        which = json.dumps(await self._of_people())
        query = {"dir": "b", "filter": which, "from": until, "to": since}
        left_out = [e async for e in self._pages(f"{self._place}/messages", "end", query)]
        return left_out[::-1]

    async def _pages(self, path: str, following: str, query: Json) -> AsyncIterator[Json]:
        token = query.get("from", "")
        for _ in range(_MOST_PAGES):
            page = await self._call(
                "GET", path, {**query, "limit": str(_PAGE), **_given(**{"from": token})}
            )
            for event in page["chunk"]:
                yield event
            token = page.get(following, "")
            if not token:
                return

    async def _call(
        self, method: str, path: str, query: Json | None = None, content: Any = None
    ) -> Json:
        for _ in range(_RETRIES):
            try:
                return await self._once(method, path, query, content)
            except _Limited as limit:
                if limit.retry_after > _LONGEST_WAIT:
                    raise
                _log.info("%s", limit)
                await asyncio.sleep(limit.retry_after)
        return await self._once(method, path, query, content)

    async def _once(self, method: str, path: str, query: Json | None, content: Any) -> Json:
        is_picture = isinstance(content, bytes)
        headers = {"Authorization": f"Bearer {self._token}"}
        if is_picture:
            headers["Content-Type"] = "image/png"
        body: Json = {"data": content} if is_picture else {"json": content}
        limit = aiohttp.ClientTimeout(_POLL_SECONDS + _ANSWER_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, headers=headers) as session,
                session.request(
                    method, URL(self._url + path, encoded=True), params=query, **body
                ) as answer,
            ):
                told = await answer.json(content_type=None)
                return _checked(answer, told)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise ChatUnavailable(f"Matrix does not answer: {error!r}") from error


class _NotFound(ChatRefused):
    """There is no such thing."""


class _Limited(ChatUnavailable):
    """Too much was asked of the server."""


def _checked(answer: aiohttp.ClientResponse, told: Any) -> Json:
    """Return a good answer, or say what went wrong in the port's words."""
    if not isinstance(told, dict):
        raise ChatUnavailable(f"Matrix does not answer: HTTP {answer.status} without a JSON object")
    if answer.ok:
        return told
    code = told.get("errcode", f"HTTP {answer.status}")
    text = f"Matrix refuses: {code}: {told.get('error', '')}"
    if answer.status == 429:
        milliseconds = told.get("retry_after_ms")
        header = float(answer.headers.get("Retry-After", 1))
        raise _Limited(text, header if milliseconds is None else milliseconds / 1000)
    if answer.status >= 500:
        raise ChatUnavailable(text)
    if code == "M_NOT_FOUND":
        raise _NotFound(text)
    raise ChatRefused(text)


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _given(**query: str) -> Json:
    return {name: value for name, value in query.items() if value}
