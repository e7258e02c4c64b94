"""A typed command -> an answer for who typed it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aftershock.v1.incident_pb2 import Incident, IncidentState
from clients.chatbot.core.card import Section, kept, section
from clients.chatbot.core.decision import SNOOZE_MINUTES
from clients.chatbot.core.describe import card_of, headline, short
from clients.chatbot.core.evidence import details
from clients.chatbot.core.text import Line, quote, say, strong
from clients.chatbot.decide import PAUSED_IN_CHAT, Answer
from clients.chatbot.ports import Deciding, Reading, Refused, RunbookUnavailable

_MOST = 10
_HELP = (
    ("status", "what is open, and whether mitigations are paused"),
    ("incidents", f"the last {_MOST} incidents"),
    ("why MODEL", "the evidence of a model's newest incident"),
    ("pause [REASON]", "stop all mitigations"),
    ("resume [REASON]", "let them go on"),
)


@dataclass(frozen=True)
class Ask:
    """Answers commands. Those that decide do so in the name of who typed them."""

    deciding: Deciding
    reading: Reading

    async def __call__(self, identity: str, text: str) -> Answer:
        """Return the answer to a command, `status` for instance."""
        verb, _, rest = text.strip().partition(" ")
        way = self._ways().get(verb.lower())
        if way is None:
            return _help(verb)
        try:
            return await way(identity, rest.strip())
        except Refused as error:
            return (section((strong("No. "), quote(str(error)))),)
        except RunbookUnavailable:
            return (section((strong("The runbook does not answer: "), say("try again soon."))),)

    def _ways(self) -> Mapping[str, Callable[[str, str], Awaitable[Answer]]]:
        return {
            "status": self._status,
            "incidents": self._incidents,
            "why": self._why,
            "pause": self._pause,
            "resume": self._resume,
        }

    async def _status(self, identity: str, rest: str) -> Answer:  # noqa: ARG002 - all ways are alike
        paused = await self.reading.paused(identity)
        newest = await self.reading.newest(identity, None, 100)
        is_open = IncidentState.INCIDENT_STATE_OPEN
        lines = [_line(incident) for incident in newest if incident.state == is_open]
        state = (strong("Paused: "), quote(paused)) if paused else (say("Mitigations go on."),)
        return (section(state), section(*lines[:_MOST] or [(say("No incident is open."),)]))

    async def _incidents(self, identity: str, rest: str) -> Answer:  # noqa: ARG002
        newest = await self.reading.newest(identity, None, _MOST)
        return (section(*map(_line, newest)) if newest else section((say("None so far."),)),)

    async def _why(self, identity: str, rest: str) -> Answer:
        newest = await self.reading.newest(identity, rest, 1) if rest else ()
        if not newest:
            said = f"There is no incident of {rest}." if rest else "Which model? why MODEL"
            return (section((quote(said),)),)
        incident = newest[0]
        return kept((section(_line(incident)), *card_of(incident).sections, *details(incident)))

    async def _pause(self, identity: str, rest: str) -> Answer:
        await self.deciding.pause(identity, rest or PAUSED_IN_CHAT)
        return (section((strong("All mitigations are paused, "), say("of all models."))),)

    async def _resume(self, identity: str, rest: str) -> Answer:
        await self.deciding.resume(identity, rest or "resumed in chat")
        return (section((strong("Mitigations go on."),)),)


def _line(incident: Incident) -> Line:
    return (strong(short(incident.name)), say(f" · {headline(incident)}"))


def _help(verb: str) -> Answer:
    unknown = section((say("There is no "), quote(verb), say("."))) if verb else Section(())
    commands = section(*((strong(name), say(f": {what}")) for name, what in _HELP))
    snooze = section((say(f"Snoozing ({SNOOZE_MINUTES} minutes) is a button on the message."),))
    return kept((unknown, commands, snooze))
