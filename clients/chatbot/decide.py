"""A click -> the runbook's decision, in the clicker's name -> an answer for them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from clients.chatbot.core.card import Choice, Section, section
from clients.chatbot.core.decision import SNOOZE_MINUTES, Decision
from clients.chatbot.core.describe import headline, short
from clients.chatbot.core.evidence import details
from clients.chatbot.core.text import quote, say, strong
from clients.chatbot.ports import Deciding, Reading, Refused, RunbookUnavailable, Steering

Answer = tuple[Section, ...]
"""What the person sees who asked, and nobody else."""
PAUSED_IN_CHAT = "paused in chat"


@dataclass(frozen=True)
class Decide:
    """Carries a click out.

    The runbook says who the clicker is and whether they may. The same click again changes nothing,
    so one that was delivered twice counts once.
    """

    deciding: Deciding
    steering: Steering
    reading: Reading

    async def __call__(self, decision: Decision) -> Answer:
        """Return what to tell the clicker: what counts now, or why it does not."""
        try:
            return await self._ways()[decision.choice](decision)
        except Refused as error:
            return (section((strong("That did not count. "), quote(str(error)))),)
        except RunbookUnavailable:
            return (
                section((strong("Nothing was decided: "), say("the runbook does not answer."))),
                section((say("Press again in a moment."),)),
            )

    def _ways(self) -> Mapping[Choice, Callable[[Decision], Awaitable[Answer]]]:
        return {
            Choice.APPROVE: self._approve,
            Choice.REJECT: self._reject,
            Choice.DETAILS: self._details,
            Choice.SNOOZE: self._snooze,
            Choice.PAUSE: self._pause,
            Choice.RENEW: self._renew,
            Choice.RELEASE: self._release,
            Choice.REVERT: self._revert,
        }

    async def _approve(self, decision: Decision) -> Answer:
        await self.deciding.approve(decision.identity, decision.target)
        return _told("Your yes is recorded", decision)

    async def _reject(self, decision: Decision) -> Answer:
        await self.deciding.reject(decision.identity, decision.target, decision.reason)
        return _told("Your no is recorded", decision)

    async def _snooze(self, decision: Decision) -> Answer:
        await self.deciding.snooze(decision.identity, decision.target, SNOOZE_MINUTES)
        return _told(f"Nobody is called for {SNOOZE_MINUTES} minutes", decision)

    async def _pause(self, decision: Decision) -> Answer:
        await self.deciding.pause(decision.identity, decision.reason or PAUSED_IN_CHAT)
        return (section((strong("All mitigations are paused, "), say("of all models."))),)

    async def _renew(self, decision: Decision) -> Answer:
        reason = decision.reason or "renewed in chat"
        await self.steering.renew(decision.identity, decision.target, reason)
        return _told("It stays in force", decision)

    async def _release(self, decision: Decision) -> Answer:
        reason = decision.reason or "released in chat"
        await self.steering.release(decision.identity, decision.target, reason)
        return _told("Its features are served again, by stages", decision)

    async def _revert(self, decision: Decision) -> Answer:
        reason = decision.reason or "taken back in chat"
        await self.steering.revert(decision.identity, decision.target, reason)
        return _told("It is being taken back", decision)

    async def _details(self, decision: Decision) -> Answer:
        incident = await self.reading.incident(decision.identity, decision.target.incident)
        title = section((strong(f"{short(incident.name)}: {headline(incident)}"),))
        return (title, *(each for each in details(incident) if each.lines))


def _told(what: str, decision: Decision) -> Answer:
    return (section((strong(f"{what}. "), say(short(decision.target.incident)))),)
