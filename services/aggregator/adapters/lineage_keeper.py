"""Keeps the lineage graph, its strengths and what was seen of its nodes up to date."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.errors import DependencyUnavailable, Overloaded

_log = logging.getLogger(__name__)
_WAIT = timedelta(seconds=1)
_REST_SECONDS = 1.0


@dataclass(frozen=True)
class LineageKeeper:
    """Follows the models and tends the graph until it is cancelled."""

    follow: Callable[[timedelta], Awaitable[None]]
    tend: Callable[[], Awaitable[None]]

    async def run(self) -> None:
        """Go on until cancelled; what fails is logged and tried again."""
        await asyncio.gather(self._again(lambda: self.follow(_WAIT), 0), self._tend())

    async def _tend(self) -> None:
        await self._again(self.tend, _REST_SECONDS)

    async def _again(self, step: Callable[[], Awaitable[None]], rest_seconds: float) -> None:
        while True:
            try:
                await step()
            except (DependencyUnavailable, Overloaded) as error:
                _log.warning("lineage is not up to date, will try again: %s", error)
                await asyncio.sleep(_REST_SECONDS)
            except Exception as error:
                _log.error("lineage is not up to date, will try again", exc_info=error)
                await asyncio.sleep(_REST_SECONDS)
            await asyncio.sleep(rest_seconds)
