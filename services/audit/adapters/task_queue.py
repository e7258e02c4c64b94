"""Carries audits out as tasks of the event loop, so many at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.audit.domain.errors import NoRoom

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 30.0


class TaskQueue:
    """A Queue."""

    def __init__(
        self, run: Callable[[str], Awaitable[None]], *, at_once: int, most_waiting: int
    ) -> None:
        self._run = run
        self._room = asyncio.Semaphore(at_once)
        self._most = at_once + most_waiting
        self._most_waiting = most_waiting
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def check_room(self) -> None:
        """Check that another audit may wait."""
        if len(self._tasks) >= self._most:
            raise NoRoom(
                f"{self._most_waiting} audits wait already: start it again later",
                retry_after=_PAUSE_SECONDS,
            )

    def submit(self, name: str) -> None:
        """Have an audit carried out."""
        if name not in self._tasks:
            task = asyncio.create_task(self._carry_out(name))
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    def cancel(self, name: str) -> None:
        """Stop carrying it out."""
        if name in self._tasks:
            self._tasks[name].cancel()

    async def drain(self) -> None:
        """Stop everything once the service stops, and wait for it."""
        try:
            await asyncio.Event().wait()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, name: str) -> None:
        async with self._room:
            try:
                await self._run(name)
            except Exception:
                _log.exception("unexpected error in an audit", extra={"audit": name})
