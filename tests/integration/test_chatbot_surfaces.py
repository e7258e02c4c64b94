"""One incident on two surfaces: the strict fake Slack and a real Synapse."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aftershock import aio
from clients.chatbot.adapters.matrix_client import MatrixClient
from clients.chatbot.adapters.matrix_events import MatrixEvents
from clients.chatbot.adapters.matrix_room import MatrixRoom
from clients.chatbot.adapters.matrix_transport import by_sync
from clients.chatbot.adapters.no_lineage import NoLineage
from clients.chatbot.adapters.no_pictures import NoPictures
from clients.chatbot.adapters.sdk_runbook import (
    SdkDeciding,
    SdkReading,
    SdkSteering,
    SdkSurfaces,
    SdkWatching,
)
from clients.chatbot.adapters.slack_room import SlackRoom, open_web_client
from clients.chatbot.ask import Ask
from clients.chatbot.decide import Decide
from clients.chatbot.follow import Follow
from clients.chatbot.ports import Room
from clients.chatbot.show import Show
from services.chassis.tokens import Role
from tests.matrix_people import MatrixPerson, open_room
from tests.slack.server import BOT_TOKEN, FakeSlack
from tests.slack.world import words
from tests.synapse import Synapse
from tests.unit.services.runbook.builders import BROKEN, event
from tests.unit.services.runbook.serving import serve_runbook
from tests.waiting import until

SECONDS = 60.0


def following(client: aio.Client, room: Room) -> Follow:
    show = Show(room, SdkSurfaces(client, room.surface), NoPictures(), NoLineage())
    now = lambda: datetime.now(UTC)  # noqa: E731
    return Follow(SdkWatching(client), show, catch_up=timedelta(hours=24), now=now)


@asynccontextmanager
async def two_bots(
    client: aio.Client, slack: FakeSlack, matrix: MatrixClient
) -> AsyncIterator[None]:
    deciding, reading = SdkDeciding(client), SdkReading(client)
    events = MatrixEvents(
        matrix, Decide(deciding, SdkSteering(client), reading), Ask(deciding, reading)
    )
    channel = SlackRoom(open_web_client(BOT_TOKEN, f"{slack.url}/api/"), "C1")
    running = (
        by_sync(matrix, events),
        following(client, MatrixRoom(matrix)).run(),
        following(client, channel).run(),
    )
    tasks = [asyncio.create_task(each) for each in running]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_approved_in_matrix_the_buttons_in_slack_go(tmp_path: Path, synapse: Synapse) -> None:
    bot, person = synapse.account(f"bot-{uuid.uuid4().hex[:8]}"), synapse.account("ada")
    ada = MatrixPerson(person, open_room(bot, person))
    async with serve_runbook(tmp_path) as served, FakeSlack().running() as slack:
        await served.runbook.see(event(1, BROKEN))
        token = served.token("chatbot", Role.READER, Role.DELEGATE)
        matrix = MatrixClient(synapse.url, bot.token, ada.room)

        def in_slack() -> str:
            return "".join(words(message.blocks) for message in slack.world.in_channel("C1"))

        async def in_matrix(text: str) -> bool:
            await asyncio.sleep(0.1)
            return any(text in m.body for m in await asyncio.to_thread(ada.messages))

        async with (
            aio.Client(runbook=served.address, token=token) as client,
            two_bots(client, slack, matrix),
        ):
            await until(lambda: "Proposed: switch off" in in_slack(), SECONDS)
            await until(lambda: in_matrix("Proposed: switch off"), SECONDS)
            (message,) = await asyncio.to_thread(ada.messages)
            await asyncio.to_thread(ada.react, message.event, "👍")
            await until(lambda: "Approved by ada" in in_slack(), SECONDS)
            await until(lambda: in_matrix("Approved by ada"), SECONDS)
            (surface,) = slack.world.in_channel("C1")
        assert all(block["type"] != "actions" for block in surface.blocks)
        mitigation = await served.runbook.mitigation()
        assert [yes.actor for yes in mitigation.approvals] == ["ada"]
        assert slack.violations == []
