"""People at their screens: they press what they see, fill in views, type commands."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.slack.delivery import Ack, Envelope
from tests.slack.world import APP_ID, TEAM, TEAM_DOMAIN, Message, Whisper

if TYPE_CHECKING:
    from tests.slack.server import FakeSlack

Json = Any


class NoSuchButton(Exception):
    """The message does not show it."""


@dataclass(frozen=True)
class Button:
    """A button as somebody saw it; the message may have changed since."""

    message: Message
    block_id: str
    element: dict[str, Json]
    seen: dict[str, Json] = field(repr=False)
    """The message as it was shown then."""


@dataclass(frozen=True)
class Person:
    """Somebody in the workspace."""

    slack: "FakeSlack"
    id: str
    name: str

    @property
    def whispers(self) -> list[Whisper]:
        """What only this person saw, oldest first."""
        return [w for w in self.slack.world.whispers if w.user == self.id]

    def look(self, message: Message, action_id: str) -> Button:
        """Return a button that the message shows now. Raises NoSuchButton."""
        for block in message.blocks:
            for element in block.get("elements", []) if block["type"] == "actions" else []:
                if element.get("action_id") == action_id:
                    seen = message.as_json(with_metadata=False)
                    return Button(message, block.get("block_id", ""), element, seen)
        raise NoSuchButton(f"the message shows no {action_id}")

    async def click(self, message: Message, action_id: str) -> Ack:
        """Press a button that the message shows now, and confirm if asked."""
        return await self.press(self.look(message, action_id))

    async def press(self, button: Button) -> Ack:
        """Press a button as it was seen, however long ago."""
        return await self.slack.deliver(self.pressing(button))

    def pressing(self, button: Button) -> Envelope:
        """Return the press, for delivering it several times or late."""
        message, element = button.message, button.element
        shown = {"block_id": button.block_id, "action_ts": self.slack.moment()}
        parts = ("action_id", "text", "type")
        known: dict[str, Json] = {name: element[name] for name in parts if name in element}
        given = {"value": element["value"]} if "value" in element else {}
        payload = self._payload("block_actions") | {
            "container": {
                "type": "message",
                "message_ts": message.ts,
                "channel_id": message.channel,
                "is_ephemeral": False,
            },
            "channel": {"id": message.channel, "name": "incidents"},
            "message": button.seen,
            "state": {"values": {}},
            "response_url": self.slack.new_response_url(self.id, message.channel),
            "actions": [{**known, **given, **shown}],
        }
        return Envelope(self.slack.world.next_id("E"), "interactive", payload)

    @property
    def view(self) -> Json:
        """The view opened last."""
        return self.slack.world.views[-1]

    async def submit(self, view: Json, values: dict[str, str]) -> Ack:
        """Fill in a view's inputs, by action id, and send it."""
        return await self.slack.deliver(self.submitting(view, values))

    def submitting(self, view: Json, values: dict[str, str]) -> Envelope:
        """Return the submission, for delivering it several times or late."""
        state = {
            block["block_id"]: {
                block["element"]["action_id"]: {
                    "type": "plain_text_input",
                    "value": values.get(block["element"]["action_id"]),
                }
            }
            for block in view["blocks"]
            if block["type"] == "input"
        }
        filled = {**view, "state": {"values": state}, "hash": "1.abc", "app_id": APP_ID}
        payload = self._payload("view_submission") | {"view": filled, "response_urls": []}
        return Envelope(self.slack.world.next_id("E"), "interactive", payload)

    async def type(self, command: str, channel: str = "C1") -> Ack:
        """Type a slash command and its text."""
        verb, _, text = command.partition(" ")
        payload = {
            "command": verb,
            "text": text,
            "token": "verification",
            "team_id": TEAM,
            "team_domain": TEAM_DOMAIN,
            "channel_id": channel,
            "channel_name": "incidents",
            "user_id": self.id,
            "user_name": self.name,
            "api_app_id": APP_ID,
            "is_enterprise_install": "false",
            "response_url": self.slack.new_response_url(self.id, channel),
            "trigger_id": self.slack.new_trigger(),
        }
        envelope = Envelope(self.slack.world.next_id("E"), "slash_commands", payload)
        return await self.slack.deliver(envelope)

    def _payload(self, kind: str) -> dict[str, Json]:
        user = {"id": self.id, "username": self.name, "name": self.name, "team_id": TEAM}
        return {
            "type": kind,
            "user": user,
            "api_app_id": APP_ID,
            "token": "verification",
            "trigger_id": self.slack.new_trigger(),
            "team": {"id": TEAM, "domain": TEAM_DOMAIN},
            "enterprise": None,
            "is_enterprise_install": False,
        }
