"""What people do in Slack -> decisions and commands, by Bolt.

Each event is acknowledged before anything else, since Slack waits three seconds; what is answered
later goes to the person alone. The runbook may take its time.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from clients.chatbot.adapters.slack_blocks import REASON, REJECT, answer_of, reason_asked
from clients.chatbot.ask import Ask
from clients.chatbot.core.card import Choice, section
from clients.chatbot.core.decision import Decision, Target, UnknownButton
from clients.chatbot.core.text import quote
from clients.chatbot.decide import Answer, Decide

COMMAND = "/aftershock"
_log = logging.getLogger(__name__)
_Body = dict[str, Any]
_ALONE: dict[str, Any] = {"response_type": "ephemeral", "replace_original": False}
"""An answer for one person, beside the message and not in its place."""


def build_app(
    client: AsyncWebClient, decide: Decide, ask: Ask, signing_secret: str | None = None
) -> AsyncApp:
    """Return the app, for Socket Mode or, with a signing secret, for HTTP."""
    app = AsyncApp(client=client, signing_secret=signing_secret)
    events = SlackEvents(client, decide, ask)
    for choice in Choice:
        app.action(choice.value)(events.on_reject if choice is Choice.REJECT else events.on_click)
    app.view(REJECT)(events.on_reason)
    app.command(COMMAND)(events.on_command)
    return app


class SlackEvents:
    """The listeners."""

    def __init__(self, client: AsyncWebClient, decide: Decide, ask: Ask) -> None:
        self._client = client
        self._decide = decide
        self._ask = ask

    async def on_click(self, ack: AsyncAck, body: _Body, respond: AsyncRespond) -> None:
        """Carry a click out and tell the clicker."""
        await ack()
        pressed = body["actions"][0]
        answer = await self._decided(Choice(pressed["action_id"]), pressed["value"], body)
        await _whisper(answer, partial(respond, **_ALONE))

    async def on_reject(self, ack: AsyncAck, body: _Body, respond: AsyncRespond) -> None:
        """Ask why."""
        await ack()
        value = body["actions"][0]["value"]
        try:
            Target.decode(value)
        except UnknownButton as error:
            await _whisper((section((quote(str(error)),)),), partial(respond, **_ALONE))
            return
        view = reason_asked(value, body["channel"]["id"])
        await self._client.views_open(trigger_id=body["trigger_id"], view=view)

    async def on_reason(self, ack: AsyncAck, body: _Body, view: _Body) -> None:
        """Reject with the reason, and tell the clicker."""
        reason = (view["state"]["values"][REASON][REASON]["value"] or "").strip()
        if not reason:
            await ack(response_action="errors", errors={REASON: "Say why, in a few words."})
            return
        await ack()
        value, _, channel = view["private_metadata"].partition(" ")
        answer = await self._decided(Choice.REJECT, value, body, reason)

        user = body["user"]["id"]
        await _whisper(answer, partial(self._client.chat_postEphemeral, channel=channel, user=user))

    async def on_command(self, ack: AsyncAck, command: _Body, respond: AsyncRespond) -> None:
        """Answer a slash command."""
        await ack()
        identity = f"slack:{command['team_id']}/{command['user_id']}"
        answer = await self._ask(identity, command.get("text") or "")
        await _whisper(answer, partial(respond, **_ALONE))

    async def _decided(self, choice: Choice, value: str, body: _Body, reason: str = "") -> Answer:
        user = body["user"]
        identity = f"slack:{user.get('team_id') or body['team']['id']}/{user['id']}"
        try:
            decision = Decision(choice, Target.decode(value), identity, reason)
        except UnknownButton as error:
            return (section((quote(str(error)),)),)
        return await self._decide(decision)


async def _whisper(answer: Answer, respond: Callable[..., Awaitable[Any]]) -> None:
    """Show an answer to one person. What was decided stands even if they cannot be told."""
    try:
        await respond(**answer_of(answer))
    except Exception:
        _log.exception("an answer could not be shown")
