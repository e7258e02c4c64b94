"""A strict fake Slack on loopback. See README.md beside this file."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.slack import limits
from tests.slack.delivery import Ack, Delivery, Envelope, HttpDelivery, SocketDelivery
from tests.slack.people import Person
from tests.slack.web_api import ApiError, RateLimited, WebApi
from tests.slack.world import Json, Whisper, World

BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-fake", "xapp-fake", "shared-with-the-app"


@dataclass
class _ResponseUrl:
    user: str
    channel: str
    until: float
    uses: int = 0


class FakeSlack:
    """A workspace with one app. What the real Slack would refuse is refused, and noted."""

    def __init__(self) -> None:
        self.world = World()
        self.skipped = 0.0
        """Seconds that the clock was put forward."""
        self.api = WebApi(self.world, self.now)
        self.socket = SocketDelivery(self.api.violate)
        self.is_down = False
        """Whether every call is answered 503."""
        self._delivery: Delivery = self.socket
        self._response_urls: dict[str, _ResponseUrl] = {}
        self._url = ""

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    @property
    def violations(self) -> list[str]:
        """What the app did that the real Slack would not have taken."""
        return self.api.violations

    def now(self) -> float:
        """Return the time in seconds."""
        return time.time() + self.skipped

    def moment(self) -> str:
        """Return the time as Slack writes it."""
        return f"{self.now():.6f}"

    def person(self, user: str, name: str, *channels: str) -> Person:
        """Return somebody who is in the channels."""
        for channel in channels or ("C1",):
            self.world.members[channel].add(user)
        return Person(self, user, name)

    def deliver_by_http(self, url: str) -> HttpDelivery:
        """Send what people do to the app's URL from now on."""
        delivery = HttpDelivery(url, SIGNING_SECRET, self.api.violate)
        self._delivery = delivery
        return delivery

    async def deliver(self, envelope: Envelope) -> Ack:
        """Hand something that somebody did over to the app. Raises AppSilent."""
        return await self._delivery.deliver(envelope)

    def new_trigger(self) -> str:
        """Return a trigger id that is good for three seconds."""
        trigger = self.world.next_id("trigger")
        self.api.triggers[trigger] = self.now() + limits.TRIGGER_SECONDS
        return trigger

    def new_response_url(self, user: str, channel: str) -> str:
        """Return a URL that takes five answers within half an hour."""
        name = self.world.next_id("response")
        until = self.now() + limits.RESPONSE_URL_SECONDS
        self._response_urls[name] = _ResponseUrl(user, channel, until)
        return f"{self.url}/response/{name}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeSlack"]:
        """Serve on a free port until the end of the block."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._on_call)
        app.router.add_post("/upload/{file}", self._on_upload)
        app.router.add_post("/response/{name}", self._on_response)
        app.router.add_get("/link", self._on_link)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self._url = self.api.base_url = f"http://{host}:{port}"
            yield self
        finally:
            await self.socket.disconnect()
            await runner.cleanup()

    async def _on_call(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.Response(status=503, text="Service Unavailable")
        method = request.match_info["method"]
        wanted = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        arguments = await _arguments(request)
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            if (sent or arguments.get("token")) != wanted:
                self.api.violate(f"{method}: invalid_auth")
                raise ApiError("invalid_auth")
            return web.json_response({"ok": True, **self.api.call(method, arguments)})
        except RateLimited as error:
            headers = {"Retry-After": str(error.retry_after)}
            answer = {"ok": False, "error": error.error}
            return web.json_response(answer, status=429, headers=headers)
        except ApiError as error:
            told = {"messages": [f"[ERROR] {message}" for message in error.messages]}
            return web.json_response({"ok": False, "error": error.error, "response_metadata": told})

    async def _on_upload(self, request: web.Request) -> web.Response:
        file = self.world.files.get(request.match_info["file"])
        content = await request.read()
        if file is None or file.content is not None:
            self.api.violate("upload: nobody asked for this URL, or it was used before")
            return web.Response(status=404)
        if request.content_type.startswith("multipart/"):
            self.api.violate("upload: this test kit takes the bytes themselves")
            return web.Response(status=400)
        if len(content) != file.length:
            self.api.violate(f"upload: {file.name} has {len(content)} bytes, not {file.length}")
            return web.Response(status=400)
        file.content = content
        return web.Response(text=f"OK - {len(content)}")

    async def _on_response(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.Response(status=503)
        target = self._response_urls[request.match_info["name"]]
        target.uses += 1
        error = ""
        if target.uses > limits.RESPONSE_URL_USES:
            error = "used_url"
        elif self.now() > target.until:
            error = "expired_url"
        if error:
            self.api.violate(f"response_url: {error}")
            return web.json_response({"ok": False, "error": error}, status=404)
        return self._whispered(target, await request.json())

    def _whispered(self, target: _ResponseUrl, arguments: Json) -> web.Response:
        alone = arguments.get("response_type") == "ephemeral"
        if not alone or arguments.get("replace_original") is not False:
            self.api.violate(
                "response_url: say that the answer is for one person, and replaces none"
            )
        try:
            text, blocks = self.api.content(arguments, limits.TEXT, "response_url")
        except ApiError as error:
            return web.json_response({"ok": False, "error": error.error}, status=400)
        self.world.whispers.append(Whisper(target.user, target.channel, text, blocks))
        return web.Response(text="ok")

    async def _on_link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self.api.tickets:
            self.api.violate("socket mode: a ticket that was not given, or was used before")
            return web.Response(status=403)
        self.api.tickets.remove(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self.socket.listen(socket)
        return socket


async def _arguments(request: web.Request) -> dict[str, Any]:
    """Return what a method is called with: JSON, or query and form, whose compound values are
    JSON."""
    if request.content_type == "application/json":
        given: dict[str, Any] = await request.json()
        return given
    form = {**request.query, **await request.post()}
    return {name: _value(str(value)) for name, value in form.items()}


def _value(text: str) -> Any:
    return json.loads(text) if text.startswith(("{", "[")) else text
