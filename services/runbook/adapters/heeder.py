"""Looks for what audits found."""

import asyncio
import logging
from dataclasses import dataclass

from services.runbook.domain.errors import RunbookError
from services.runbook.heed import Heed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heeder:
    """The clock behind `heed`."""

    heed: Heed
    seconds: float
    """Between two looks."""

    async def run(self) -> None:
        """Look until cancelled. Who does not answer is asked again."""
        while True:
            try:
                await self.heed()
            except RunbookError as error:
                _log.warning("what audits found waits: %s", error)
            await asyncio.sleep(self.seconds)
