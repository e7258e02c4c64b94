"""Waits for what other tasks and processes bring about."""

import asyncio
from collections.abc import Awaitable, Callable

_POLL_SECONDS = 0.02


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
    """Return once something holds. Raises TimeoutError if it does not in time."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(_POLL_SECONDS)
