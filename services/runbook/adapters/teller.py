"""Tells what happened soon after it has."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.domain.errors import RunbookError
from services.runbook.ports import Clock
from services.runbook.tell import Tell

_log = logging.getLogger(__name__)
_TICK_SECONDS = 5.0
_LETTING_OTHERS_GO_FIRST_SECONDS = 0.25
"""What an expert decided is carried out meanwhile: to read what changed takes the time of those."""
_LOOK_BACK = timedelta(days=1)


@dataclass(frozen=True)
class Teller:
    """The clock behind `tell`. After a start it tells the last day again: that counts once."""

    tell: Tell
    clock: Clock
    changes: ChangeSignal

    async def run(self) -> None:
        """Tell until cancelled."""
        since, told = self.clock.now() - _LOOK_BACK, 0
        while True:
            seen = self.changes.count
            try:
                told = await self.tell(told, since)
            except RunbookError as error:
                _log.warning("the timeline waits: %s", error)
                # Whatever else changes meanwhile, it is not asked again at once.
                await asyncio.sleep(_TICK_SECONDS)
                continue
            await self.changes.wait(seen, _TICK_SECONDS)
            await asyncio.sleep(_LETTING_OTHERS_GO_FIRST_SECONDS)
