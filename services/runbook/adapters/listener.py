"""Takes shifts in."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from services.runbook.domain.errors import RunbookError
from services.runbook.open import Open
from services.runbook.ports import ShiftFeed, Store

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Listener:
    """Takes each shift event in before it asks for the next."""

    store: Store
    feed: ShiftFeed
    open: Open

    async def run(self) -> None:
        """Listen until cancelled. An event that cannot be recorded is asked for again."""
        while True:
            try:
                await self._listen()
            except Exception as error:
                unexpected = not isinstance(error, RunbookError)
                _log.warning("could not take a shift event in: %s", error, exc_info=unexpected)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self) -> None:
        cursors = await self.store.read(lambda unit: unit.feeds.cursors())
        async with contextlib.aclosing(self.feed.events(cursors)) as events:
            async for event in events:
                await self.open(event)
