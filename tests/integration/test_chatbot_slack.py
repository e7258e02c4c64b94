"""Approvals in Slack: Bolt, the real runbook and a strict fake Slack."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from aiohttp.test_utils import unused_port

from aftershock import aio
from aftershock.v1.incident_pb2 import Incident
from clients.chatbot.adapters.no_lineage import NoLineage
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
from clients.chatbot.core.card import Picture
from clients.chatbot.decide import Decide
from clients.chatbot.follow import Follow
from clients.chatbot.show import Show
from services.chassis.tokens import Role
from services.runbook.domain.mitigation import MitigationState
from tests.slack.delivery import AppSilent
from tests.slack.people import NoSuchButton
from tests.slack.server import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack
from tests.slack.web_api import ApiError, RateLimited
from tests.slack.world import Message, words
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, event
from tests.unit.services.runbook.serving import ServedRunbook, serve_runbook
from tests.waiting import until

PNG = b"\x89PNG not really"


class OnePlot:
    """Every incident has one."""

    def names(self, incident: Incident) -> Sequence[str]:
        return ("gfi",)

    async def draw(self, incident: Incident, name: str) -> Picture | None:
        return Picture(name, "GFI", "user_embedding stands alone", PNG)


class Office:
    """A runbook with an incident, a Slack, and people in it."""

    def __init__(self, served: ServedRunbook, slack: FakeSlack, client: aio.Client) -> None:
        self.runbook = served.runbook
        self.slack = slack
        self.client = client
        self.ada = slack.person("UADA", "ada")
        self.rex = slack.person("UREX", "rex")

    @asynccontextmanager
    async def bot(
        self, by: Literal["socket", "http"] = "socket", holder: str = "one"
    ) -> AsyncIterator[None]:
        """Run a bot until the end of the block."""
        web_client = open_web_client(BOT_TOKEN, f"{self.slack.url}/api/")
        deciding, reading = SdkDeciding(self.client), SdkReading(self.client)
        decide, ask = Decide(deciding, SdkSteering(self.client), reading), Ask(deciding, reading)
        show = Show(
            SlackRoom(web_client, "C1"), SdkSurfaces(self.client, holder), OnePlot(), NoLineage()
        )
        now = lambda: datetime.now(UTC)  # noqa: E731
        follow = Follow(SdkWatching(self.client), show, catch_up=timedelta(hours=24), now=now)
        if by == "http":
            port = unused_port()
            app = build_app(web_client, decide, ask, SIGNING_SECRET)
            self.slack.deliver_by_http(f"http://127.0.0.1:{port}/slack/events")
            listening = by_http(app, f"127.0.0.1:{port}")
        else:
            listening = by_socket(build_app(web_client, decide, ask), APP_TOKEN)
        tasks = [asyncio.create_task(listening), asyncio.create_task(follow.run())]
        connected = len(self.slack.socket.sockets) + 1
        try:
            if by == "socket":
                await until(lambda: len(self.slack.socket.sockets) >= connected)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def message(self) -> Message:
        """The one message in the channel."""
        (message,) = self.slack.world.in_channel("C1")
        return message

    @property
    def thread(self) -> str:
        return "".join(words(reply.blocks) for reply in self.slack.world.thread(self.message))

    async def shown(self, text: str) -> None:
        """Wait until the message and the thread say what the runbook knows, and `text`."""
        await until(lambda: self._shows(text))

    async def _shows(self, text: str) -> bool:
        if len(self.slack.world.in_channel("C1")) != 1:
            return False
        known = await self.client.incident("INC-1")
        told = all(entry.message[:200] in self.thread for entry in known.timeline)
        files = [f for reply in self.slack.world.thread(self.message) for f in reply.files]
        return told and bool(files) and text in words(self.message.blocks)

    async def work(self) -> None:
        """Let the runbook's workers do what is due."""
        await self.runbook.worker.drain()

    async def state(self) -> MitigationState:
        return (await self.runbook.mitigation()).state


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve_runbook(tmp_path))
        token = served.token("chatbot", Role.READER, Role.DELEGATE)
        slack = await stack.enter_async_context(FakeSlack().running())
        client = await stack.enter_async_context(aio.Client(runbook=served.address, token=token))
        await served.runbook.see(event(1, BROKEN))
        yield Office(served, slack, client)
        assert slack.violations == []


@pytest.mark.parametrize("by", ["socket", "http"])
async def test_an_incident_from_break_to_effective(
    office: Office, by: Literal["socket", "http"]
) -> None:
    async with office.bot(by):
        await office.shown("Proposed: switch off 1 feature: user_embedding")
        await office.ada.click(office.message, "approve")
        await until(lambda: bool(office.ada.whispers))
        assert "Your yes is recorded" in office.ada.whispers[0].words
        await office.shown("Approved by ada")
        with pytest.raises(NoSuchButton):
            office.ada.look(office.message, "approve")
        await office.work()
        await office.runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        await office.shown("Effective: calibration 1.01")
    assert await office.state() is MitigationState.EFFECTIVE
    (file,) = office.slack.world.files.values()
    assert (file.content, file.alt_text) == (PNG, "user_embedding stands alone")
    assert file.name == "INC-1_plots_gfi.png"


class TestDeciding:
    async def test_a_double_click_and_a_redelivery_count_once(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            button = office.ada.look(office.message, "approve")
            press = office.ada.pressing(button)
            await asyncio.gather(office.slack.deliver(press), office.ada.press(button))
            await office.slack.deliver(press)
            await until(lambda: len(office.ada.whispers) == 3)
            await office.shown("Approved by ada")
        mitigation = await office.runbook.mitigation()
        assert [yes.actor for yes in mitigation.approvals] == ["ada"]
        assert office.message.updates == 1

    async def test_a_no_takes_a_reason(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            await office.ada.click(office.message, "reject")
            await until(lambda: bool(office.slack.world.views))
            view = office.ada.view
            empty = await office.ada.submit(view, {"reason": "  "})
            assert empty.payload["response_action"] == "errors"
            answer = office.ada.submitting(view, {"reason": "<!channel> it is the sale"})
            await office.slack.deliver(answer)
            await office.slack.deliver(answer)
            await office.shown("Rejected: switch off 1 feature")
        mitigation = await office.runbook.mitigation()
        assert mitigation.reason == "<!channel> it is the sale (through slack)"
        assert mitigation.passage(MitigationState.REJECTED).actor == "ada"  # type: ignore[union-attr]

    async def test_who_may_not_decide_is_told_alone(self, office: Office) -> None:
        stranger = office.slack.person("UNEW", "new")
        async with office.bot():
            await office.shown("Proposed")
            await office.rex.click(office.message, "approve")
            await stranger.click(office.message, "approve")
            await until(lambda: bool(office.rex.whispers and stranger.whispers))
            assert "rex may not call" in office.rex.whispers[0].words
            assert "slack:T1/UNEW" in stranger.whispers[0].words
            assert not office.ada.whispers
            assert office.ada.look(office.message, "approve")
        assert await office.state() is MitigationState.PROPOSED

    async def test_decided_elsewhere_the_buttons_go(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            await office.runbook.say_no()
            await office.shown("Rejected")
            with pytest.raises(NoSuchButton):
                office.ada.look(office.message, "approve")

    async def test_an_expiry_and_a_button_from_last_week(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            old = office.ada.look(office.message, "approve")
            office.runbook.clock.advance(days=7)
            await office.runbook.expire()
            await office.shown("Expired, nobody answered")
            await office.ada.press(old)
            await until(lambda: bool(office.ada.whispers))
            assert "EXPIRED" in office.ada.whispers[0].words
        assert await office.state() is MitigationState.EXPIRED

    async def test_what_did_not_help_is_taken_back_and_said(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            await office.ada.click(office.message, "approve")
            await office.shown("Approved by ada")
            await office.work()
            await office.runbook.see(event(2, BROKEN), event(3, BROKEN))
            await office.shown("Taken back")

    async def test_snooze_details_and_pause(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            await office.ada.click(office.message, "snooze")
            await office.shown("Snoozed until")
            await office.rex.click(office.message, "details")
            await until(lambda: bool(office.rex.whispers))
            assert "1. user_embedding" in office.rex.whispers[0].words
            await office.ada.click(office.message, "pause")
            await until(lambda: len(office.ada.whispers) == 2)
            await office.ada.click(office.message, "approve")
            await until(lambda: len(office.ada.whispers) == 3)
            assert "paused" in office.ada.whispers[-1].words
        assert await office.state() is MitigationState.PROPOSED


class TestCommands:
    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ("/aftershock status", "INC-1 · ads_ctr over-predicts"),
            ("/aftershock incidents", "INC-1"),
            ("/aftershock why ads_ctr", "Most likely: user_embedding"),
            ("/aftershock pause the sale", "All mitigations are paused"),
            ("/aftershock", "why MODEL"),
        ],
    )
    async def test_the_answer_is_for_who_asked(
        self, office: Office, command: str, said: str
    ) -> None:
        async with office.bot():
            await office.ada.type(command)
            await until(lambda: bool(office.ada.whispers))
        assert said in office.ada.whispers[0].words
        assert not office.rex.whispers


class TestFaults:
    async def test_slack_down_then_caught_up_in_order_once(self, office: Office) -> None:
        office.slack.is_down = True
        async with office.bot("http"):
            await office.runbook.say_yes()
            await office.work()
            await asyncio.sleep(0.3)
            assert not office.slack.world.messages
            office.slack.is_down = False
            await office.shown("In force since")
        timeline = [e.message for e in (await office.client.incident("INC-1")).timeline]
        places = [office.thread.index(message[:200]) for message in timeline]
        assert places == sorted(places)
        assert office.thread.count("opened: ") == 1

    async def test_two_bots_make_one_message(self, office: Office) -> None:
        async with office.bot(holder="one"), office.bot(holder="two"):
            await office.shown("Proposed")
            await office.ada.click(office.message, "approve")
            await office.shown("Approved by ada")
        timeline = (await office.client.incident("INC-1")).timeline
        assert all(office.thread.count(entry.message[:200]) == 1 for entry in timeline)

    async def test_killed_after_posting(self, office: Office) -> None:
        """The message is there, nobody recorded it: the next bot finds it by its metadata."""
        show = Show(
            SlackRoom(open_web_client(BOT_TOKEN, f"{office.slack.url}/api/"), "C1"),
            SdkSurfaces(office.client, "killed"),
            Dying(),
            NoLineage(),
        )
        with pytest.raises(Died):
            await show(await office.client.incident("INC-1"))
        office.runbook.clock.advance(seconds=30)
        async with office.bot(holder="next"):
            await office.shown("Proposed")
        timeline = (await office.client.incident("INC-1")).timeline
        assert all(office.thread.count(entry.message[:200]) == 1 for entry in timeline)

    async def test_killed_between_click_and_call(self, office: Office) -> None:
        """Nothing was decided: the person sees an error, the buttons stay and count."""
        async with office.bot():
            await office.shown("Proposed")
            press = office.ada.pressing(office.ada.look(office.message, "approve"))
        with pytest.raises(AppSilent):
            await office.slack.deliver(press)
        assert await office.state() is MitigationState.PROPOSED
        async with office.bot(holder="next"):
            await office.ada.click(office.message, "approve")
            await office.shown("Approved by ada")

    async def test_rate_limits_are_waited_for(self, office: Office) -> None:
        office.slack.api.refusals["chat.postMessage"] = [RateLimited(1)]
        async with office.bot():
            await office.shown("Proposed")

    async def test_a_deleted_message_is_posted_anew(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            first = office.message
            first.is_deleted = True
            office.slack.world.messages.clear()
            await office.runbook.say_yes()
            await office.shown("Approved by ada")

    async def test_a_channel_that_is_closed_to_the_bot_is_logged(
        self, office: Office, caplog: pytest.LogCaptureFixture
    ) -> None:
        office.slack.api.refusals["chat.postMessage"] = [ApiError("not_in_channel")]
        async with office.bot():
            await until(lambda: "not_in_channel" in caplog.text)

    async def test_a_replayed_request_is_refused(self, office: Office) -> None:
        async with office.bot("http"):
            await office.shown("Proposed")
            old = office.slack.deliver_by_http(office.slack._delivery.url)  # type: ignore[attr-defined]
            old.clock_offset = -600.0
            with pytest.raises(AppSilent, match="401"):
                await office.ada.click(office.message, "approve")
        assert await office.state() is MitigationState.PROPOSED

    async def test_a_forged_request_is_refused(self, office: Office) -> None:
        async with office.bot("http"):
            await office.shown("Proposed")
            forged = office.slack.deliver_by_http(office.slack._delivery.url)  # type: ignore[attr-defined]
            forged.signing_secret = "guessed"
            with pytest.raises(AppSilent, match="401"):
                await office.ada.click(office.message, "approve")

    async def test_a_socket_that_breaks_is_opened_again(self, office: Office) -> None:
        async with office.bot():
            await office.shown("Proposed")
            await office.slack.socket.disconnect()
            await until(lambda: bool(office.slack.socket.sockets))
            await office.ada.click(office.message, "approve")
            await office.shown("Approved by ada")


class Died(BaseException):
    """The bot's process ended."""


class Dying:
    """Ends the bot when it comes to plots."""

    def names(self, incident: Incident) -> Sequence[str]:
        raise Died

    async def draw(self, incident: Incident, name: str) -> Picture | None:
        raise Died
