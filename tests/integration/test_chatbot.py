"""The bot's use cases against the real runbook, in a room in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aftershock import aio
from aftershock.v1.incident_pb2 import Incident
from clients.chatbot.adapters.memory_room import MemoryRoom, Message
from clients.chatbot.adapters.no_lineage import NoLineage
from clients.chatbot.adapters.sdk_runbook import (
    SdkDeciding,
    SdkReading,
    SdkSteering,
    SdkSurfaces,
    SdkWatching,
)
from clients.chatbot.ask import Ask
from clients.chatbot.core.card import Card, Choice, Note, Picture
from clients.chatbot.core.decision import Decision, Target
from clients.chatbot.core.text import plain
from clients.chatbot.decide import Answer, Decide
from clients.chatbot.follow import Follow
from clients.chatbot.ports import ChatRefused, ChatUnavailable, SurfaceBusy
from clients.chatbot.show import Show
from services.chassis.tokens import Role
from services.runbook.domain.mitigation import MitigationState
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, WALL_TIME, event
from tests.unit.services.runbook.serving import ServedRunbook, serve_runbook
from tests.waiting import until

ADA, REX = "memory:ada", "memory:rex"


class Died(BaseException):
    """The bot's process ended."""


class FaultyRoom(MemoryRoom):
    """Fails, or dies, at calls to come: by method, before or after it took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, list[BaseException]] = {}
        self.after: dict[str, list[BaseException]] = {}

    async def post(self, key: str, card: Card) -> str:
        _raise(self.before, "post")
        reference = await super().post(key, card)
        _raise(self.after, "post")
        return reference

    async def update(self, reference: str, card: Card) -> None:
        _raise(self.before, "update")
        await super().update(reference, card)
        _raise(self.after, "update")

    async def reply(self, reference: str, note: Note) -> None:
        _raise(self.before, "reply")
        await super().reply(reference, note)
        _raise(self.after, "reply")

    async def attach(self, reference: str, key: str, picture: Picture) -> None:
        await super().attach(reference, key, picture)
        _raise(self.after, "attach")


def _raise(errors: dict[str, list[BaseException]], method: str) -> None:
    if waiting := errors.get(method):
        raise waiting.pop(0)


class OnePlot:
    """Every incident has one."""

    def names(self, incident: Incident) -> Sequence[str]:
        return ("gfi",)

    async def draw(self, incident: Incident, name: str) -> Picture | None:
        return Picture(name, "GFI", "a dot", b"png")


class Bot:
    """One run of a bot."""

    def __init__(self, client: aio.Client, room: MemoryRoom, holder: str) -> None:
        deciding, reading = SdkDeciding(client), SdkReading(client)
        self.show = Show(room, SdkSurfaces(client, holder), OnePlot(), NoLineage())
        self.decide = Decide(deciding, SdkSteering(client), reading)
        self.ask = Ask(deciding, reading)
        self.follow = Follow(
            SdkWatching(client),
            self.show,
            catch_up=timedelta(hours=24),
            now=lambda: datetime.now(UTC),
        )


class Scene:
    """A runbook with an incident, and a room."""

    def __init__(self, served: ServedRunbook, client: aio.Client) -> None:
        self.served = served
        self.runbook = served.runbook
        self.client = client
        self.room = FaultyRoom()

    def bot(self, holder: str = "one") -> Bot:
        return Bot(self.client, self.room, holder)

    async def incident(self) -> Incident:
        return await self.client.incident("INC-1")

    async def show(self, holder: str = "one") -> Message:
        await self.bot(holder).show(await self.incident())
        return self.message

    @property
    def message(self) -> Message:
        (message,) = self.room.messages.values()
        return message

    async def click(self, choice: Choice, identity: str = ADA, reason: str = "") -> str:
        """Press a button of the message as it is."""
        value = next(b.value for b in self.message.card.buttons if b.choice is choice)
        return await self.press(choice, value, identity, reason)

    async def press(self, choice: Choice, value: str, identity: str = ADA, reason: str = "") -> str:
        decision = Decision(choice, Target.decode(value), identity, reason)
        return told(await self.bot().decide(decision))

    @asynccontextmanager
    async def following(self, holder: str = "one") -> AsyncIterator[None]:
        """Run a bot until the end of the block."""
        task = asyncio.create_task(self.bot(holder).follow.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until_shown(self) -> None:
        """Wait until the message and its thread say what the runbook knows."""
        await until(self._is_shown)

    async def _is_shown(self) -> bool:
        known = await self.incident()
        shown = list(self.room.messages.values())
        lines = [line for message in shown for note in message.notes for line in note.lines]
        return len(lines) >= len(known.timeline) and "gfi" in str(shown[0].pictures.keys())


def told(answer: Answer) -> str:
    return "\n".join(plain(line) for section in answer for line in section.lines)


def entries(message: Message) -> list[str]:
    return [plain(line).split(": ", 1)[1] for note in message.notes for line in note.lines]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with serve_runbook(tmp_path) as served:
        token = served.token("chatbot", Role.READER, Role.DELEGATE)
        async with aio.Client(runbook=served.address, token=token) as client:
            await served.runbook.see(event(1, BROKEN))
            yield Scene(served, client)


class TestOneMessage:
    async def test_it_is_posted_once_and_then_updated(self, scene: Scene) -> None:
        first = await scene.show()
        assert (await scene.show(), first.updates) == (first, 0)
        await scene.click(Choice.APPROVE)
        await scene.runbook.worker.drain()
        await scene.show()
        assert first.updates == 1
        assert [button.choice for button in first.card.buttons] == [Choice.REVERT]
        assert entries(first) == [e.message for e in (await scene.incident()).timeline]
        assert list(first.pictures) == ["INC-1/plots/gfi"]

    @pytest.mark.parametrize("method", ["post", "reply", "attach"])
    async def test_a_bot_that_dies_after_posting_leaves_one_message(
        self, scene: Scene, method: str
    ) -> None:
        scene.room.after = {method: [Died()]}
        with pytest.raises(Died):
            await scene.show("one")
        with pytest.raises(SurfaceBusy):
            await scene.show("two")
        scene.runbook.clock.advance(seconds=30)
        message = await scene.show("two")
        assert entries(message) == [e.message for e in (await scene.incident()).timeline]
        assert list(message.pictures) == ["INC-1/plots/gfi"]

    async def test_an_answer_that_got_lost_is_not_posted_again(self, scene: Scene) -> None:
        scene.room.after = {"post": [ChatUnavailable("timed out")]}
        with pytest.raises(ChatUnavailable):
            await scene.show()
        await scene.show()
        assert len(scene.room.messages) == 1

    async def test_a_deleted_message_comes_back_with_its_thread(self, scene: Scene) -> None:
        await scene.show()
        scene.room.messages.clear()
        await scene.runbook.say_yes()
        message = await scene.show()
        assert entries(message) == [e.message for e in (await scene.incident()).timeline]

    async def test_two_bots_make_one_message(self, scene: Scene) -> None:
        async with scene.following("one"), scene.following("two"):
            await scene.until_shown()
            await scene.runbook.say_yes()
            await scene.runbook.worker.drain()
            await scene.runbook.see(event(2, HEALTHY), event(3, HEALTHY))
            await scene.until_shown()
        message = scene.message
        assert entries(message) == [e.message for e in (await scene.incident()).timeline]
        assert "Effective" in str(message.card)


class TestDeciding:
    async def test_yes(self, scene: Scene) -> None:
        await scene.show()
        assert await scene.click(Choice.APPROVE) == "Your yes is recorded. INC-1"
        assert await scene.click(Choice.APPROVE) == "Your yes is recorded. INC-1"
        mitigation = await scene.runbook.mitigation()
        assert [yes.actor for yes in mitigation.approvals] == ["ada"]
        assert mitigation.reason == "through memory"

    async def test_no_with_a_reason(self, scene: Scene) -> None:
        await scene.show()
        await scene.click(Choice.REJECT, reason="it is the sale")
        await scene.click(Choice.REJECT, reason="it is the sale")
        message = await scene.show()
        assert "it is the sale (through memory)" in str(message.card)
        assert sum("rejected" in line for line in entries(message)) == 1

    @pytest.mark.parametrize("identity", [REX, "memory:stranger"])
    async def test_not_by_everybody(self, scene: Scene, identity: str) -> None:
        before = await scene.show()
        assert (await scene.click(Choice.APPROVE, identity)).startswith("That did not count. ")
        assert await scene.show() == before
        assert not (await scene.runbook.mitigation()).approvals

    async def test_a_button_from_last_week(self, scene: Scene) -> None:
        await scene.show()
        old = scene.message.card.buttons[0].value
        scene.runbook.clock.advance(days=7)
        await scene.runbook.expire()
        said = await scene.press(Choice.APPROVE, old)
        assert "EXPIRED" in said
        message = await scene.show()
        assert message.card.buttons == ()
        assert "Expired, nobody answered" in str(message.card)

    async def test_a_click_that_got_lost_leaves_the_buttons(self, scene: Scene) -> None:
        """Killed between the click and the call: nothing is decided, and the message says so."""
        await scene.show("one")
        message = await scene.show("two")
        assert message.card.buttons
        await scene.click(Choice.APPROVE)
        assert not (await scene.show("two")).card.buttons

    async def test_a_runbook_that_is_away_is_said(self, scene: Scene) -> None:
        await scene.show()
        await scene.client.close()
        absent = aio.Client(runbook="127.0.0.1:1", token="x", timeout=0.3)
        scene.client = absent
        assert (await scene.click(Choice.APPROVE)).startswith("Nothing was decided")
        await absent.close()

    async def test_snooze_and_pause(self, scene: Scene) -> None:
        await scene.show()
        assert await scene.click(Choice.SNOOZE) == "Nobody is called for 30 minutes. INC-1"
        assert "Snoozed until" in str((await scene.show()).card)
        await scene.click(Choice.PAUSE)
        assert "paused" in await scene.click(Choice.APPROVE)

    async def test_details_are_not_for_strangers(self, scene: Scene) -> None:
        await scene.show()
        said = await scene.click(Choice.DETAILS, "memory:stranger")
        assert said.startswith("That did not count. nobody is known")

    async def test_details_are_all_the_evidence(self, scene: Scene) -> None:
        await scene.show()
        said = await scene.click(Choice.DETAILS, REX)
        assert "1. user_embedding · GFI" in said
        assert "2. genres · GFI" in said


class TestSteering:
    @pytest.fixture
    async def effective(self, scene: Scene) -> Scene:
        await scene.runbook.say_yes()
        await scene.runbook.worker.drain()
        await scene.runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        await scene.show()
        return scene

    async def test_renew(self, effective: Scene) -> None:
        lease = (await effective.runbook.mitigation()).lease_expire_time
        assert lease
        effective.runbook.clock.advance(hours=2)
        value = effective.message.card.buttons[0].value
        for _ in range(2):
            assert await effective.press(Choice.RENEW, value) == "It stays in force. INC-1"
            effective.runbook.clock.advance(hours=1)
        mitigation = await effective.runbook.mitigation()
        assert mitigation.lease_expire_time == lease + timedelta(hours=2)
        assert mitigation.reason == "renewed in chat (through memory)"

    async def test_release_and_take_back(self, effective: Scene) -> None:
        assert "by stages" in await effective.click(Choice.RELEASE)
        await effective.runbook.worker.drain()
        await effective.show()
        assert "It is being taken back" in await effective.click(Choice.REVERT)
        await effective.runbook.worker.drain()
        assert (await effective.show()).card.buttons == ()
        assert (await effective.runbook.mitigation()).state is MitigationState.REVERTED

    async def test_not_by_everybody(self, effective: Scene) -> None:
        for choice in (Choice.RENEW, Choice.RELEASE, Choice.REVERT):
            assert (await effective.click(choice, REX)).startswith("That did not count. ")
        assert (await effective.runbook.mitigation()).state is MitigationState.EFFECTIVE

    async def test_what_has_changed_since_the_message_is_not_steered_by_it(
        self, effective: Scene
    ) -> None:
        values = {button.choice: button.value for button in effective.message.card.buttons}
        await effective.runbook.let_go()
        await effective.runbook.worker.drain()
        said = await effective.press(Choice.RENEW, values[Choice.RENEW])
        assert "has changed since it was looked at, and is RELEASING now" in said
        assert (await effective.runbook.mitigation()).state is MitigationState.RELEASING
        assert "taken back" in await effective.press(Choice.REVERT, values[Choice.REVERT])


class TestAsking:
    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ("status", "Mitigations go on.\nINC-1 · ads_ctr over-predicts: calibration 1.31"),
            ("incidents", "INC-1 · ads_ctr"),
            ("why ads_ctr", "Most likely: user_embedding"),
            ("why nobody", "There is no incident of nobody."),
            ("why", "Which model?"),
            ("", "why MODEL"),
            ("<!channel>", "There is no <!channel>."),
        ],
    )
    async def test_commands(self, scene: Scene, command: str, said: str) -> None:
        assert said in told(await scene.bot().ask(ADA, command))

    @pytest.mark.parametrize("command", ["status", "incidents", "why ads_ctr", "pause"])
    async def test_strangers_learn_nothing(self, scene: Scene, command: str) -> None:
        said = told(await scene.bot().ask("memory:stranger", command))
        assert said.startswith("No. nobody is known as memory:stranger")

    async def test_pausing_takes_an_approver(self, scene: Scene) -> None:
        ask = scene.bot().ask
        assert told(await ask(REX, "pause the sale")).startswith("No. ")
        assert "paused" in told(await ask(ADA, "pause the sale"))
        assert "the sale (through memory)" in told(await ask(REX, "status"))
        assert told(await ask(ADA, "resume")) == "Mitigations go on."


class TestCatchingUp:
    async def test_a_chat_that_was_away_is_told_everything_once(self, scene: Scene) -> None:
        scene.room.before = {
            "post": [ChatUnavailable("away", 0.01)] * 2,
            "reply": [ChatUnavailable("away", 0.01)],
        }
        await scene.runbook.see(event(1, BROKEN, model="models/b"))
        async with scene.following():
            await until(
                lambda: [bool(m.pictures) for m in scene.room.messages.values()] == [True] * 2
            )
        assert [m.card.incident for m in scene.room.messages.values()] == ["INC-1", "INC-2"]
        first, _ = scene.room.messages.values()
        assert entries(first) == [e.message for e in (await scene.incident()).timeline]

    async def test_what_a_chat_refuses_does_not_stop_the_others(self, scene: Scene) -> None:
        scene.room.before = {"post": [ChatRefused("invalid blocks")]}
        await scene.runbook.see(event(1, BROKEN, model="models/b"))
        async with scene.following():
            await until(lambda: bool(scene.room.messages))
        assert scene.message.card.incident == "INC-2"

    async def test_history_stays_where_it_is(self, scene: Scene) -> None:
        """A new bot does not post what was over long ago."""
        await scene.runbook.say_yes()
        await scene.runbook.worker.drain()
        await scene.runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        bot = scene.bot()
        later = WALL_TIME + timedelta(days=30)
        follow = Follow(
            SdkWatching(scene.client), bot.show, catch_up=timedelta(hours=24), now=lambda: later
        )
        task = asyncio.create_task(follow.run())
        await scene.runbook.see(event(50, BROKEN, model="models/b"))
        await until(lambda: bool(scene.room.messages))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert scene.message.card.incident == "INC-2"
