"""Listens to a Matrix room, from where the last copy of the bot came to."""

import asyncio
import logging
from dataclasses import dataclass, field

from clients.chatbot.adapters.matrix_client import Json, MatrixClient
from clients.chatbot.adapters.matrix_events import MatrixEvents
from clients.chatbot.ports import ChatRefused, ChatUnavailable

_log = logging.getLogger(__name__)
_PAUSE = 3.0


async def by_sync(client: MatrixClient, events: MatrixEvents) -> None:
    """Listen until cancelled."""
    listener = _Listener(client, events)
    while True:
        try:
            await listener.listen()
        except (ChatRefused, ChatUnavailable) as error:
            _log.warning("Matrix does not deliver: %s; trying again", error)
            await asyncio.sleep(max(_PAUSE, getattr(error, "retry_after", 0.0)))


@dataclass
class _Listener:
    """Takes each event in turn and keeps, on the server, which ones are done.

    What the bot was doing when it died is done again; what it did not come to is not lost.
    """

    client: MatrixClient
    events: MatrixEvents
    since: str = ""
    done: list[str] = field(default_factory=list)
    """Events since then."""

    async def listen(self) -> None:
        await self.client.join()
        kept = await self.client.handled()
        self.since, self.done = kept.get("since", ""), list(kept.get("done", ()))
        while True:
            await self._take(*await self.client.news(self.since))

    async def _take(self, following: str, news: list[Json]) -> None:
        # A command from before the bot was ever here is nobody's wish today.
        has_been_here = bool(self.since)
        for event in news:
            if event["event_id"] in self.done:
                continue
            await self.events(event, commands=has_been_here)
            self.done.append(event["event_id"])
            if self.since:
                await self._keep()
        was, self.since = self.since, following
        if news or not was:
            self.done.clear()
            await self._keep()

    async def _keep(self) -> None:
        await self.client.keep({"since": self.since, "done": self.done})
