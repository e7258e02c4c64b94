"""Runs the bot: python -m clients.chatbot."""

import asyncio
import logging
import os
import signal
import sys
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from aftershock import aio
from clients.chatbot.adapters.figures import THEMES
from clients.chatbot.adapters.matrix_client import MatrixClient
from clients.chatbot.adapters.matrix_events import MatrixEvents
from clients.chatbot.adapters.matrix_room import MatrixRoom
from clients.chatbot.adapters.matrix_transport import by_sync
from clients.chatbot.adapters.no_lineage import NoLineage
from clients.chatbot.adapters.no_pictures import NoPictures
from clients.chatbot.adapters.sdk_lineage import SdkLineage
from clients.chatbot.adapters.sdk_pictures import SdkPictures
from clients.chatbot.adapters.sdk_runbook import (
    SdkDeciding,
    SdkReading,
    SdkSteering,
    SdkSurfaces,
    SdkWatching,
)
from clients.chatbot.adapters.slack_events import build_app
from clients.chatbot.adapters.slack_room import SlackRoom, open_web_client
from clients.chatbot.adapters.slack_transport import by_http, by_socket
from clients.chatbot.ask import Ask
from clients.chatbot.decide import Decide
from clients.chatbot.follow import Follow
from clients.chatbot.ports import Pictures, Room
from clients.chatbot.settings import ChatbotSettings
from clients.chatbot.show import Show
from services.chassis.telemetry import JsonFormatter

_Forever = Coroutine[Any, Any, None]


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = ChatbotSettings()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    asyncio.run(_until_stopped(settings))


async def _until_stopped(settings: ChatbotSettings) -> None:
    task = asyncio.ensure_future(_run(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("stopped")


async def _run(settings: ChatbotSettings) -> None:
    async with aio.Client(token=settings.token.get_secret_value()) as client:
        deciding, reading = SdkDeciding(client), SdkReading(client)
        decide, ask = Decide(deciding, SdkSteering(client), reading), Ask(deciding, reading)
        room, listening = _CHATS[settings.chat](settings, decide, ask)
        holder = f"{os.uname().nodename}-{uuid.uuid4().hex[:12]}"
        show = Show(
            room=room,
            surfaces=SdkSurfaces(client, holder),
            pictures=_pictures(settings, client),
            lineage=SdkLineage(client) if settings.lineage else NoLineage(),
        )
        follow = Follow(
            SdkWatching(client),
            show,
            catch_up=timedelta(hours=settings.catch_up_hours),
            now=lambda: datetime.now(UTC),
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listening)
            tasks.create_task(follow.run())


def _slack(settings: ChatbotSettings, decide: Decide, ask: Ask) -> tuple[Room, _Forever]:
    """Return the channel, and what listens to the people in it."""
    client = open_web_client(_secret(settings.slack_bot_token), settings.slack_url)
    room = SlackRoom(client, settings.slack_channel)
    if settings.slack_signing_secret is not None:
        app = build_app(client, decide, ask, _secret(settings.slack_signing_secret))
        return room, by_http(app, settings.slack_listen)
    app = build_app(client, decide, ask)
    return room, by_socket(app, _secret(settings.slack_app_token))


def _matrix(settings: ChatbotSettings, decide: Decide, ask: Ask) -> tuple[Room, _Forever]:
    """Return the room, and what listens to the people in it."""
    token = _secret(settings.matrix_access_token)
    client = MatrixClient(settings.matrix_url, token, settings.matrix_room)
    return MatrixRoom(client), by_sync(client, MatrixEvents(client, decide, ask))


_CHATS = {"slack": _slack, "matrix": _matrix}


def _secret(given: SecretStr | None) -> str:
    """Return a secret; the settings saw to it that those needed are there."""
    return given.get_secret_value() if given else ""


def _pictures(settings: ChatbotSettings, client: aio.Client) -> Pictures:
    if not settings.plots:
        return NoPictures()
    return SdkPictures(client, THEMES[settings.theme])


if __name__ == "__main__":
    main()
