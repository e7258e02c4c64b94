"""The fake is as strict as the real one about everything but blocks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack import limits
from tests.slack.delivery import AppSilent, Envelope
from tests.slack.people import NoSuchButton
from tests.slack.server import APP_TOKEN, BOT_TOKEN, FakeSlack

ALONE = {"text": "x", "response_type": "ephemeral", "replace_original": False}
PRESS = {
    "type": "actions",
    "elements": [
        {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
    ],
}


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack().running() as running:
        yield running


@pytest.fixture
def client(slack: FakeSlack) -> AsyncWebClient:
    return AsyncWebClient(token=BOT_TOKEN, base_url=f"{slack.url}/api/")


async def refused(call: Any) -> str:
    with pytest.raises(SlackApiError) as error:
        await call
    said: str = error.value.response["error"]
    return said


class TestCalls:
    async def test_a_token_is_needed(self, slack: FakeSlack) -> None:
        stranger = AsyncWebClient(token="xoxb-other", base_url=f"{slack.url}/api/")
        assert await refused(stranger.auth_test()) == "invalid_auth"
        assert slack.violations

    async def test_methods_that_there_are_not(self, client: AsyncWebClient) -> None:
        assert await refused(client.api_call("chat.shout")) == "unknown_method"

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            ({}, "no_text"),
            ({"text": "x" * (limits.TEXT + 1)}, "msg_too_long"),
            ({"text": "x", "blocks": [{"type": "banner"}]}, "invalid_blocks"),
            ({"text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_format"),
            (
                {
                    "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}]
                    * 5
                },
                "msg_blocks_too_long",
            ),
        ],
    )
    async def test_a_message_that_is_not_taken(
        self, slack: FakeSlack, client: AsyncWebClient, content: dict[str, Any], error: str
    ) -> None:
        call = client.chat_postMessage(channel="C1", **content)
        assert await refused(call) == error
        assert slack.violations
        assert not slack.world.messages

    async def test_only_where_the_bot_is(self, slack: FakeSlack, client: AsyncWebClient) -> None:
        slack.world.members["C2"] = set()
        assert await refused(client.chat_postMessage(channel="C2", text="x")) == "not_in_channel"
        assert await refused(client.chat_postMessage(channel="C9", text="x")) == "channel_not_found"

    async def test_an_update_takes_less_text(self, client: AsyncWebClient) -> None:
        posted = await client.chat_postMessage(channel="C1", text="x")
        update = client.chat_update(channel="C1", ts=posted["ts"], text="x" * 4001)
        assert await refused(update) == "msg_too_long"
        gone = client.chat_update(channel="C1", ts="1.2", text="x")
        assert await refused(gone) == "message_not_found"

    async def test_a_flood_is_told_to_wait(self, slack: FakeSlack, client: AsyncWebClient) -> None:
        for _ in range(limits.POST_BURST):
            await client.chat_postMessage(channel="C1", text="x")
        with pytest.raises(SlackApiError) as error:
            await client.chat_postMessage(channel="C1", text="x")
        assert error.value.response.headers["Retry-After"] == "1"
        assert not slack.violations
        slack.skipped += 0.5
        await refused(client.chat_postMessage(channel="C1", text="x"))
        assert "before Retry-After" in slack.violations[0]
        slack.skipped += 10
        await client.chat_postMessage(channel="C1", text="x")

    async def test_metadata_is_told_to_who_asks_for_it(self, client: AsyncWebClient) -> None:
        metadata = {"event_type": "a", "event_payload": {"key": "b"}}
        await client.chat_postMessage(channel="C1", text="x", metadata=metadata)
        (plain,) = (await client.conversations_history(channel="C1"))["messages"]
        assert "metadata" not in plain
        history = await client.conversations_history(channel="C1", include_all_metadata=True)
        assert history["messages"][0]["metadata"] == metadata

    async def test_history_comes_in_pages(self, client: AsyncWebClient) -> None:
        for number in range(3):
            await client.chat_postMessage(channel="C1", text=str(number))
        first = await client.conversations_history(channel="C1", limit=2)
        assert [m["text"] for m in first["messages"]] == ["2", "1"]
        cursor = first["response_metadata"]["next_cursor"]
        last = await client.conversations_history(channel="C1", limit=2, cursor=cursor)
        assert [m["text"] for m in last["messages"]] == ["0"]


class TestFiles:
    async def test_three_steps(self, slack: FakeSlack, client: AsyncWebClient) -> None:
        posted = await client.chat_postMessage(channel="C1", text="x")
        await client.files_upload_v2(
            channel="C1", thread_ts=posted["ts"], content=b"png", filename="a.png", alt_txt="a dot"
        )
        (message,) = slack.world.thread(slack.world.messages[0])
        assert [(f.name, f.content, f.alt_text) for f in message.files] == [
            ("a.png", b"png", "a dot")
        ]
        assert not slack.violations

    async def test_none_is_left_out(self, slack: FakeSlack, client: AsyncWebClient) -> None:
        place = await client.files_getUploadURLExternal(filename="a.png", length=3)
        done = client.files_completeUploadExternal(files=[{"id": place["file_id"], "title": "a"}])
        assert await refused(done) == "file_not_found"
        async with (
            aiohttp.ClientSession() as session,
            session.post(place["upload_url"], data=b"four") as answer,
        ):
            assert answer.status == 400
        assert len(slack.violations) == 2


class TestPeople:
    async def test_they_press_what_they_see(self, slack: FakeSlack, client: AsyncWebClient) -> None:
        ada = slack.person("UADA", "ada")
        await client.chat_postMessage(channel="C1", text="x", blocks=[PRESS])
        assert ada.look(slack.world.messages[0], "go").element["action_id"] == "go"
        with pytest.raises(NoSuchButton):
            ada.look(slack.world.messages[0], "stop")

    async def test_without_an_app_they_see_an_error(self, slack: FakeSlack) -> None:
        with pytest.raises(AppSilent):
            await slack.person("UADA", "ada").type("/aftershock status")

    async def test_an_app_has_three_seconds(
        self, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "ACK_SECONDS", 0.2)
        async with aiohttp.ClientSession() as session:
            app = AsyncWebClient(token=APP_TOKEN, base_url=f"{slack.url}/api/")
            url = (await app.apps_connections_open(app_token=APP_TOKEN))["url"]
            async with session.ws_connect(url) as socket:
                assert (await socket.receive_json())["type"] == "hello"
                with pytest.raises(AppSilent):
                    await slack.deliver(Envelope("E1", "interactive", {}))
        assert "no ack" in slack.violations[0]

    async def test_a_ticket_opens_one_socket(self, slack: FakeSlack) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(f"{slack.url}/link?ticket=guessed")
        assert slack.violations

    async def test_whispers_are_for_members(self, slack: FakeSlack, client: AsyncWebClient) -> None:
        call = client.chat_postEphemeral(channel="C1", user="UADA", text="x")
        assert await refused(call) == "user_not_in_channel"
        ada = slack.person("UADA", "ada")
        await client.chat_postEphemeral(channel="C1", user="UADA", text="x")
        assert [w.words for w in ada.whispers] == ["x"]


class TestLimitsInTime:
    async def test_a_trigger_is_good_for_three_seconds_and_once(
        self, slack: FakeSlack, client: AsyncWebClient
    ) -> None:
        view = {
            "type": "modal",
            "title": {"type": "plain_text", "text": "x"},
            "blocks": [{"type": "divider"}],
        }
        late, once = slack.new_trigger(), slack.new_trigger()
        await client.views_open(trigger_id=once, view=view)
        assert await refused(client.views_open(trigger_id=once, view=view)) == (
            "exchanged_trigger_id"
        )
        slack.skipped += limits.TRIGGER_SECONDS + 1
        assert await refused(client.views_open(trigger_id=late, view=view)) == "expired_trigger_id"
        made_up = client.views_open(trigger_id="guessed", view=view)
        assert await refused(made_up) == "invalid_trigger_id"

    async def test_a_response_url_is_good_for_five_answers(self, slack: FakeSlack) -> None:
        url = slack.new_response_url("UADA", "C1")
        async with aiohttp.ClientSession() as session:

            async def answer(to: str) -> int:
                async with session.post(to, json=ALONE) as response:
                    return response.status

            assert [await answer(url) for _ in range(6)] == [200] * 5 + [404]
            late = slack.new_response_url("UADA", "C1")
            slack.skipped += limits.RESPONSE_URL_SECONDS + 1
            assert await answer(late) == 404
        assert slack.violations == ["response_url: used_url", "response_url: expired_url"]


async def test_an_answer_says_for_whom_it_is(slack: FakeSlack) -> None:
    async with aiohttp.ClientSession() as session:
        for unsaid in ("response_type", "replace_original"):
            content = {name: value for name, value in ALONE.items() if name != unsaid}
            await session.post(slack.new_response_url("UADA", "C1"), json=content)
    assert len(slack.violations) == 2


async def test_while_it_is_down_nothing_is_taken(slack: FakeSlack, client: AsyncWebClient) -> None:
    slack.is_down = True
    with pytest.raises(SlackApiError):
        await client.auth_test()
    await asyncio.sleep(0)
    assert not slack.api.calls
