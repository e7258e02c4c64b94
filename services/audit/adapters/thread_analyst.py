"""Analyses snapshots on a thread of this process."""

import asyncio
from collections.abc import Awaitable, Callable

from services.audit.analyse import Analyse
from services.audit.domain.audit import Audit
from services.audit.domain.report import AuditReport


class _Stopped(Exception):
    """Nobody waits for the report any more."""


class ThreadAnalyst:
    """An Analyst for small snapshots: cancelled, it stops at the next step."""

    def __init__(self, analyse: Analyse) -> None:
        self._analyse = analyse

    async def analyse(
        self, audit: Audit, progress: Callable[[float, str], Awaitable[None]]
    ) -> AuditReport:
        """Return the report of the snapshot itself."""
        loop = asyncio.get_running_loop()
        is_stopped = False

        def tell(share: float, stage: str) -> None:
            if is_stopped:
                raise _Stopped
            asyncio.run_coroutine_threadsafe(_told(progress, share, stage), loop)

        try:
            return await asyncio.to_thread(self._analyse, audit, tell)
        finally:
            is_stopped = True


async def _told(
    progress: Callable[[float, str], Awaitable[None]], share: float, stage: str
) -> None:
    await progress(share, stage)
