"""How what people do reaches the app: Socket Mode, or signed HTTP requests."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.slack import limits

Json = Any


@dataclass(frozen=True)
class Ack:
    """What the app answered at once."""

    payload: Json = None
    """Of a view's submission: what becomes of the view."""


class AppSilent(Exception):
    """No app took it: the person sees an error."""


@dataclass(frozen=True)
class Envelope:
    """Something that somebody did. Delivered twice it has the same id."""

    id: str
    kind: str
    """`interactive` or `slash_commands`."""
    payload: dict[str, Json]


class Delivery(Protocol):
    """One way to the app."""

    async def deliver(self, envelope: Envelope) -> Ack:
        """Hand it over and wait for the answer. Raises AppSilent after three seconds."""


@dataclass
class SocketDelivery:
    """Websockets that apps opened; each envelope goes to one of them, in turn."""

    violate: Callable[[str], None]
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    _waiting: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    _turn: int = 0

    async def deliver(self, envelope: Envelope) -> Ack:
        """Send it to the next socket."""
        living = [socket for socket in self.sockets if not socket.closed]
        if not living:
            raise AppSilent("no app is connected")
        self._turn += 1
        socket = living[self._turn % len(living)]
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[envelope.id] = answer
        await socket.send_json(
            {
                "envelope_id": envelope.id,
                "type": envelope.kind,
                "payload": envelope.payload,
                "accepts_response_payload": True,
            }
        )
        return await self._answered(envelope, answer, socket)

    async def _answered(
        self, envelope: Envelope, answer: asyncio.Future[Json], socket: web.WebSocketResponse
    ) -> Ack:
        deadline = time.monotonic() + limits.ACK_SECONDS
        while not answer.done():
            if socket.closed:
                raise AppSilent("the app went away before it answered")
            if time.monotonic() > deadline:
                self.violate(f"{envelope.kind}: no ack within {limits.ACK_SECONDS:g} s")
                raise AppSilent("the app did not answer")
            await asyncio.wait([answer], timeout=0.05)
        return Ack(answer.result())

    async def listen(self, socket: web.WebSocketResponse) -> None:
        """Greet a socket and take its answers until it closes."""
        self.sockets.append(socket)
        connection = {"type": "hello", "num_connections": len(self.sockets)}
        await socket.send_json({**connection, "connection_info": {"app_id": "A1"}})
        async for message in socket:
            if message.type != aiohttp.WSMsgType.TEXT:
                break
            answer = json.loads(message.data)
            waiting = self._waiting.pop(answer.get("envelope_id"), None)
            if waiting is None:
                self.violate(f"socket mode: an ack that nobody waits for: {answer}")
            elif not waiting.done():
                waiting.set_result(answer.get("payload"))
        self.sockets.remove(socket)

    async def disconnect(self) -> None:
        """Close all sockets, as Slack does every few hours; apps connect anew."""
        for socket in list(self.sockets):
            await socket.send_json({"type": "disconnect", "reason": "refresh_requested"})
            await socket.close()


@dataclass
class HttpDelivery:
    """Requests to the app's URL, signed with its secret."""

    url: str
    signing_secret: str
    violate: Callable[[str], None]
    clock_offset: float = 0.0
    """Seconds that the signature's time is off: tests of replayed requests set it."""

    async def deliver(self, envelope: Envelope) -> Ack:
        """Send it and wait for 200."""
        fields = envelope.payload
        if envelope.kind == "interactive":
            fields = {"payload": json.dumps(envelope.payload)}
        body = urlencode(fields)
        timeout = aiohttp.ClientTimeout(total=limits.ACK_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.url, data=body, headers=self._signed(body)) as answer,
            ):
                content = await answer.text()
        except TimeoutError:
            self.violate(f"{envelope.kind}: no answer within {limits.ACK_SECONDS:g} s")
            raise AppSilent("the app did not answer") from None
        except aiohttp.ClientConnectionError as error:
            raise AppSilent("no app listens") from error
        if answer.status != 200:
            raise AppSilent(f"the app answered {answer.status}")
        return Ack(json.loads(content) if content.startswith("{") else None)

    def _signed(self, body: str) -> dict[str, str]:
        timestamp = str(int(time.time() + self.clock_offset))
        base = f"v0:{timestamp}:{body}".encode()
        digest = hmac.new(self.signing_secret.encode(), base, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": f"v0={digest}",
        }
