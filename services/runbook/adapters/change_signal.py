"""Wakes those who watch when something was committed in this process."""

import asyncio


class ChangeSignal:
    """A counter that one can wait on. Lives on one event loop.

    A watcher takes `count` before it looks, and then waits for it to move on: no change is missed.
    """

    def __init__(self) -> None:
        self.count = 0
        self.closed = False
        self._moved = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.count += 1
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def close(self) -> None:
        """Wake everybody for the last time: streams that see `closed` end."""
        self.closed = True
        self.ring()

    async def close_when_cancelled(self) -> None:
        """Wait to be cancelled, then close: a server that stops need not wait for its streams."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.close()

    async def wait(
        self,
        count: int,
        timeout: float | None = None,  # noqa: ASYNC109 - a poll's period
    ) -> None:
        """Return once the counter is past `count`, or after `timeout` seconds if given."""
        if self.count > count or self.closed:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._moved.wait()
        except TimeoutError:
            return
