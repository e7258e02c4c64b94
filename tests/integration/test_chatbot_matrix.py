"""Approvals in Matrix: the real runbook and a real Synapse."""

import asyncio
import struct
import uuid
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aftershock import aio
from aftershock.v1.incident_pb2 import Incident
from clients.chatbot.adapters.matrix_client import MatrixClient
from clients.chatbot.adapters.matrix_events import MatrixEvents
from clients.chatbot.adapters.matrix_room import MatrixRoom
from clients.chatbot.adapters.matrix_transport import by_sync
from clients.chatbot.adapters.no_lineage import NoLineage
from clients.chatbot.adapters.sdk_runbook import (
    SdkDeciding,
    SdkReading,
    SdkSteering,
    SdkSurfaces,
    SdkWatching,
)
from clients.chatbot.ask import Ask
from clients.chatbot.core.card import Picture
from clients.chatbot.core.decision import Target
from clients.chatbot.decide import Decide
from clients.chatbot.follow import Follow
from clients.chatbot.ports import Deciding
from clients.chatbot.show import Show
from services.chassis.tokens import Role
from services.runbook.domain.mitigation import MitigationState
from tests.matrix_people import MatrixMessage, MatrixPerson, open_room
from tests.synapse import Synapse
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, event
from tests.unit.services.runbook.serving import ServedRunbook, serve_runbook
from tests.waiting import until

PNG = b"".join(
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\0\0\0" * 2)),
        (b"IEND", b""),
    )
)
PNG = b"\x89PNG\r\n\x1a\n" + PNG
SECONDS = 60.0


class OnePlot:
    """Every incident has one."""

    def names(self, incident: Incident) -> Sequence[str]:
        return ("gfi",)

    async def draw(self, incident: Incident, name: str) -> Picture | None:
        return Picture(name, "GFI", "user_embedding stands alone, not @room", PNG)


class Office:
    """A runbook with an incident, a room, and people in it."""

    def __init__(self, served: ServedRunbook, synapse: Synapse, client: aio.Client) -> None:
        self.runbook = served.runbook
        self.client = client
        self.synapse = synapse
        self.bot_account = synapse.account(f"bot-{uuid.uuid4().hex[:8]}")
        guests = [synapse.account(name) for name in ("ada", "rex", "stranger")]
        self.room = open_room(self.bot_account, *guests)
        self.ada, self.rex, self.stranger = (MatrixPerson(g, self.room) for g in guests)

    def matrix(self) -> MatrixClient:
        return MatrixClient(self.synapse.url, self.bot_account.token, self.room)

    @asynccontextmanager
    async def bot(
        self, holder: str = "one", deciding: Deciding | None = None
    ) -> AsyncIterator[None]:
        """Run a bot until the end of the block."""
        matrix = self.matrix()
        deciding, reading = deciding or SdkDeciding(self.client), SdkReading(self.client)
        events = MatrixEvents(
            matrix, Decide(deciding, SdkSteering(self.client), reading), Ask(deciding, reading)
        )
        surfaces = SdkSurfaces(self.client, holder)
        show = Show(MatrixRoom(matrix), surfaces, OnePlot(), NoLineage())
        now = lambda: datetime.now(UTC)  # noqa: E731
        follow = Follow(SdkWatching(self.client), show, catch_up=timedelta(hours=24), now=now)
        tasks = [
            asyncio.create_task(by_sync(matrix, events)),
            asyncio.create_task(follow.run()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def message(self) -> MatrixMessage:
        """The one message of the bot in the room."""
        everything = await asyncio.to_thread(self.ada.messages)
        (message,) = (m for m in everything if m.sender == self.bot_account.user)
        return message

    async def shown(self, text: str) -> MatrixMessage:
        """Wait until the message and the thread say what the runbook knows, and `text`."""
        await until(lambda: self._shows(text), SECONDS)
        return await self.message()

    async def _shows(self, text: str) -> bool:
        await asyncio.sleep(0.1)
        try:
            message = await self.message()
        except ValueError:
            return False
        known = await self.client.incident("INC-1")
        thread = message.told.replace("\u2060", "")
        told = all(entry.message[:200] in thread for entry in known.timeline)
        return told and bool(message.plots) and text in message.body

    async def answered(self, person: MatrixPerson, count: int = 1) -> str:
        """Wait until somebody has been answered so often; return the last answer."""
        user = person.account.user

        async def enough() -> bool:
            await asyncio.sleep(0.1)
            return len((await self.message()).answers_to(user)) >= count

        await until(enough, SECONDS)
        answers = (await self.message()).answers_to(user)
        assert len(answers) == count
        return answers[-1]

    async def work(self) -> None:
        """Let the runbook's workers do what is due."""
        await self.runbook.worker.drain()

    async def state(self) -> MitigationState:
        return (await self.runbook.mitigation()).state


@pytest.fixture
async def office(tmp_path: Path, synapse: Synapse) -> AsyncIterator[Office]:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve_runbook(tmp_path))
        token = served.token("chatbot", Role.READER, Role.DELEGATE)
        client = await stack.enter_async_context(aio.Client(runbook=served.address, token=token))
        await served.runbook.see(event(1, BROKEN))
        yield Office(served, synapse, client)


async def test_an_incident_from_break_to_effective(office: Office) -> None:
    async with office.bot():
        message = await office.shown("Proposed: switch off 1 feature: user_embedding")
        assert "👍 Approve" in message.body
        await asyncio.to_thread(office.ada.react, message.event, "👍🏽")
        assert "Your yes is recorded" in await office.answered(office.ada)
        message = await office.shown("Approved by ada")
        assert "👍" not in message.body
        await office.work()
        await office.runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        message = await office.shown("Effective: calibration 1.01")
    assert await office.state() is MitigationState.EFFECTIVE
    (plot,) = message.plots
    assert await asyncio.to_thread(office.ada.picture, plot["url"]) == PNG
    assert plot["body"] == "user_embedding stands alone, not @\u2060room"
    assert (plot["info"]["w"], plot["info"]["h"]) == (3, 2)


class TestDeciding:
    async def test_a_yes_by_reply_counts_once(self, office: Office) -> None:
        async with office.bot():
            message = await office.shown("Proposed")
            await asyncio.to_thread(office.ada.reply, message.event, "Approve")
            await asyncio.to_thread(office.ada.react, message.event, "✅")
            await office.answered(office.ada, 2)
            await office.shown("Approved by ada")
        mitigation = await office.runbook.mitigation()
        assert [yes.actor for yes in mitigation.approvals] == ["ada"]

    async def test_a_no_takes_a_reason(self, office: Office) -> None:
        async with office.bot():
            message = await office.shown("Proposed")
            await asyncio.to_thread(office.ada.react, message.event, "👎")
            assert "Why not? Reply: reject REASON" in await office.answered(office.ada)
            assert await office.state() is MitigationState.PROPOSED
            question = (await office.message()).thread[-1]["event_id"]
            quoted = "> <@bot> Why not?\n\nreject <b>@room</b> it is the sale"
            await asyncio.to_thread(office.ada.reply, question, quoted)
            message = await office.shown("Rejected: switch off 1 feature")
        mitigation = await office.runbook.mitigation()
        assert mitigation.reason == "<b>@room</b> it is the sale (through matrix)"
        assert "&lt;b&gt;@\u2060room" in message.content["formatted_body"]
        assert message.content["m.mentions"] == {}

    async def test_who_may_not_decide_is_told(self, office: Office) -> None:
        async with office.bot():
            message = await office.shown("Proposed")
            await asyncio.to_thread(office.rex.react, message.event, "👍")
            await asyncio.to_thread(office.stranger.write_in_thread, message.event, "approve")
            assert "rex may not call" in await office.answered(office.rex)
            assert "matrix:@stranger:example.org" in await office.answered(office.stranger)
            assert (await office.message()).answers_to(office.ada.account.user) == []
        assert await office.state() is MitigationState.PROPOSED

    async def test_decided_elsewhere_the_message_says_so(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            await office.runbook.say_no()
            message = await office.shown("Rejected")
            assert "React with" not in message.body

    async def test_a_reaction_to_last_weeks_message(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            office.runbook.clock.advance(days=7)
            await office.runbook.expire()
            message = await office.shown("Expired, nobody answered")
            await asyncio.to_thread(office.ada.react, message.event, "👍")
            answer = await office.answered(office.ada)
            assert "EXPIRED" in answer or "does not ask for that any more" in answer
        assert await office.state() is MitigationState.EXPIRED

    async def test_snooze_details_and_pause(self, office: Office) -> None:
        async with office.bot():
            message = await office.shown("Proposed")
            await asyncio.to_thread(office.ada.react, message.event, "💤")
            await office.shown("Snoozed until")
            await asyncio.to_thread(office.rex.write_in_thread, message.event, "details")
            assert "1. user_embedding" in await office.answered(office.rex)
            await asyncio.to_thread(office.ada.react, message.event, "⏸️")
            assert "Really stop all" in await office.answered(office.ada, 2)
            await asyncio.to_thread(office.ada.reply, message.event, "pause the sale")
            assert "All mitigations are paused" in await office.answered(office.ada, 3)
            await asyncio.to_thread(office.ada.reply, message.event, "approve")
            assert "paused" in await office.answered(office.ada, 4)
        assert await office.state() is MitigationState.PROPOSED

    async def test_what_is_in_force_is_steered(self, office: Office) -> None:
        await office.runbook.say_yes()
        await office.runbook.worker.drain()
        await office.runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        async with office.bot():
            message = await office.shown("🔁 Renew · ▶ Serve again by stages · ↩ Take back")
            await asyncio.to_thread(office.ada.react, message.event, "🔁")
            assert "It stays in force" in await office.answered(office.ada)
            await asyncio.to_thread(office.ada.react, message.event, "↩️")
            assert "Really undo it" in await office.answered(office.ada, 2)
            await asyncio.to_thread(office.ada.reply, message.event, "revert it was the sale")
            assert "It is being taken back" in await office.answered(office.ada, 3)
        mitigation = await office.runbook.mitigation()
        assert mitigation.reason == "it was the sale (through matrix)"

    async def test_commands_and_talk(self, office: Office) -> None:
        async with office.bot():
            message = await office.shown("Proposed")
            await asyncio.to_thread(office.ada.reply, message.event, "I would not approve this")
            await asyncio.to_thread(office.ada.write_in_thread, message.event, "!aftershock status")
            assert "INC-1 · ads_ctr over-predicts" in await office.answered(office.ada)
        assert await office.state() is MitigationState.PROPOSED

    async def test_a_forged_message_decides_nothing(self, office: Office) -> None:
        """Only what the bot itself has posted can be approved."""
        async with office.bot():
            message = await office.shown("Proposed")
            content = {**message.content, "body": "Who wants cake?"}
            forged = await asyncio.to_thread(office.rex.send, "m.room.message", content)
            await asyncio.to_thread(office.ada.react, forged, "👍")
            await asyncio.to_thread(office.ada.react, message.event, "🔍")
            assert "1. user_embedding" in await office.answered(office.ada)
        assert await office.state() is MitigationState.PROPOSED


class Died(BaseException):
    """The bot's process ended."""


class Dying(SdkDeciding):
    """Ends the bot when somebody approves."""

    def __init__(self, client: aio.Client) -> None:
        super().__init__(client)
        self.died = asyncio.Event()

    def die(self) -> None:
        self.died.set()
        raise Died


class DyingBefore(Dying):
    """Does so before a yes is recorded."""

    async def approve(self, identity: str, target: Target) -> None:
        self.die()


class DyingAfter(Dying):
    """Does so once a yes is recorded, before it says so."""

    async def approve(self, identity: str, target: Target) -> None:
        await super().approve(identity, target)
        self.die()


class TestFaults:
    async def test_decided_while_no_bot_runs(self, office: Office) -> None:
        async with office.bot():
            message = await office.shown("Proposed")
        await asyncio.to_thread(office.ada.react, message.event, "👍")
        assert await office.state() is MitigationState.PROPOSED
        async with office.bot("next"):
            assert "Your yes is recorded" in await office.answered(office.ada)
            await office.shown("Approved by ada")

    @pytest.mark.parametrize("dying", [DyingBefore, DyingAfter])
    async def test_killed_around_the_call(self, office: Office, dying: type[Dying]) -> None:
        deciding = dying(office.client)
        async with office.bot(deciding=deciding):
            message = await office.shown("Proposed")
            await asyncio.to_thread(office.ada.react, message.event, "👍")
            await asyncio.wait_for(deciding.died.wait(), SECONDS)
        async with office.bot("next"):
            await office.answered(office.ada)
            # What the dead one claimed lapses, even a claim that was on its way when it died.
            office.runbook.clock.advance(seconds=30)
            await office.shown("Approved by ada")
        mitigation = await office.runbook.mitigation()
        assert [yes.actor for yes in mitigation.approvals] == ["ada"]

    async def test_more_was_said_than_fits_one_answer_of_the_server(self, office: Office) -> None:
        async with office.bot():
            message = await office.shown("Proposed")
        await asyncio.to_thread(office.ada.react, message.event, "👍")
        for number in range(30):
            await asyncio.to_thread(office.rex.say, f"what a day {number}")
        async with office.bot("next"):
            await office.answered(office.ada)
        mitigation = await office.runbook.mitigation()
        assert [yes.actor for yes in mitigation.approvals] == ["ada"]

    async def test_two_bots_make_one_message_and_answer_once(self, office: Office) -> None:
        async with office.bot("one"), office.bot("two"):
            message = await office.shown("Proposed")
            await asyncio.to_thread(office.ada.react, message.event, "👍")
            await office.shown("Approved by ada")
            await asyncio.to_thread(office.ada.react, message.event, "🔍")
            await office.answered(office.ada, 2)
        message = await office.message()
        timeline = (await office.client.incident("INC-1")).timeline
        assert all(message.told.count(entry.message[:200]) == 1 for entry in timeline)
        assert len(message.plots) == 1

    async def test_a_deleted_message_is_posted_anew(self, office: Office) -> None:
        async with office.bot():
            first = await office.shown("Proposed")
            bot = MatrixPerson(office.bot_account, office.room)
            await asyncio.to_thread(bot.delete, first.event)
            await office.runbook.say_yes()
            second = await office.shown("Approved by ada")
        assert second.event != first.event
