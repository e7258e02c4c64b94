"""Keeps Slack connected: Socket Mode, or HTTP behind a public address."""

import asyncio
import logging

import aiohttp
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient

_log = logging.getLogger(__name__)
_PAUSE = 3.0
_PATH = "/slack/events"


async def by_socket(app: AsyncApp, app_token: str) -> None:
    """Hold a websocket to Slack until cancelled; it is opened again when it breaks."""
    client = AsyncSocketModeHandler(app, app_token).client
    try:
        await _connect(client)
        await asyncio.get_running_loop().create_future()
    finally:
        await client.close()  # type: ignore[no-untyped-call]


async def _connect(client: SocketModeClient) -> None:
    """Connect for the first time, however long it takes; from then on the client does it itself."""
    while True:
        try:
            await client.connect()  # type: ignore[no-untyped-call]
        except (SlackApiError, SlackClientError, aiohttp.ClientError, TimeoutError) as error:
            _log.warning("Slack does not connect: %r; trying again", error)
            await asyncio.sleep(_PAUSE)
        else:
            return


async def by_http(app: AsyncApp, listen: str) -> None:
    """Take signed requests under /slack/events until cancelled. Slack needs https before it."""
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(app.web_app(_PATH))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, int(port)).start()
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()
