"""Looks again and again for proposals that nobody answered."""

import asyncio
import logging
from dataclasses import dataclass

from services.runbook.domain.errors import RunbookError
from services.runbook.expire import Expire

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.5


@dataclass(frozen=True)
class Expirer:
    """The clock behind `expire`."""

    expire: Expire

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.expire()
            except RunbookError as error:
                _log.warning("could not expire proposals: %s", error)
            await asyncio.sleep(_TICK_SECONDS)
