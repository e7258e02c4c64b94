"""What people do in Matrix -> decisions and commands -> answers."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clients.chatbot.adapters.matrix_client import MatrixClient
from clients.chatbot.adapters.matrix_html import answer_of
from clients.chatbot.adapters.matrix_room import in_thread, transaction
from clients.chatbot.adapters.matrix_says import Said, said_in
from clients.chatbot.adapters.matrix_shown import choices_at, start_of, versions
from clients.chatbot.ask import Ask
from clients.chatbot.core.card import Choice, section
from clients.chatbot.core.decision import Decision, Target, UnknownButton
from clients.chatbot.core.text import quote, say, strong
from clients.chatbot.decide import Answer, Decide
from clients.chatbot.ports import ChatRefused

_log = logging.getLogger(__name__)
_ASKED_FIRST: Mapping[Choice, str] = {
    Choice.PAUSE: "Really stop all mitigations, of all models?",
    Choice.RELEASE: "Really serve its features again, by stages?",
    Choice.REVERT: "Really undo it at once, for all traffic?",
}
"""What a reaction alone does not do: a thumb slips."""


@dataclass(frozen=True)
class MatrixEvents:
    """Carries out what people say. The same event again changes nothing and is answered once."""

    client: MatrixClient
    decide: Decide
    ask: Ask

    async def __call__(self, event: dict[str, Any], *, commands: bool = True) -> None:
        """Take one event of the room; leave commands alone where they are not wanted.

        Raises:
            ChatUnavailable: nothing is known to be done: call again.
        """
        said = said_in(event)
        if said is None:
            return
        try:
            if said.choice is not None:
                await self._chosen(said, said.choice)
            elif commands:
                await self._tell(said, await self.ask(_identity(said), said.words), said.about)
        except ChatRefused:
            _log.exception("%s of %s has no answer", said.event, said.who)

    async def _chosen(self, said: Said, choice: Choice) -> None:
        message = await start_of(self.client, said.about)
        shown = await versions(self.client, message)
        if shown:
            value = choices_at(said.time, shown).get(choice, "")
            await self._tell(said, await self._decided(said, choice, value), message)

    async def _decided(self, said: Said, choice: Choice, value: str) -> Answer:
        if not value:
            return (section((say("The message does not ask for that any more."),)),)
        if choice is Choice.REJECT and not said.words:
            return _asked("Why not?", "reject REASON")
        if said.is_reaction and choice in _ASKED_FIRST:
            return _asked(_ASKED_FIRST[choice], f"{choice} REASON")
        try:
            target = Target.decode(value)
        except UnknownButton as error:
            return (section((quote(str(error)),)),)
        return await self.decide(Decision(choice, target, _identity(said), said.words))

    async def _tell(self, said: Said, answer: Answer, message: str) -> None:
        """Answer in the thread. Nobody can be told alone in a room: the answer calls only them."""
        content = answer_of(answer, said.who)
        if message:
            content |= in_thread(message, "" if said.is_reaction else said.event)
        else:
            content |= {"m.relates_to": {"m.in_reply_to": {"event_id": said.event}}}
        await self.client.send("m.room.message", content, transaction("answer", said.event))


def _asked(question: str, reply: str) -> Answer:
    return (section((strong(f"{question} "), say(f"Reply: {reply}"))),)


def _identity(said: Said) -> str:
    return f"matrix:{said.who}"
