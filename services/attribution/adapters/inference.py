"""Inference on one thread: one at a time, and no more waiting than was agreed."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from services.attribution.adapters.metrics import WAITING
from services.chassis.errors import Overloaded

_Answer = TypeVar("_Answer")
_SHORTEST_PAUSE = 0.1
_MEMORY = 0.8
"""Weight of the past in the mean time that work takes."""


class Inference:
    """Takes on work from all streams; what would have to wait for too long is sent away."""

    def __init__(self, executor: Executor, most_waiting: int) -> None:
        """Work on `executor`, which has one thread; at most `most_waiting` wait for it."""
        self._executor = executor
        self._most_waiting = most_waiting
        self._under_way = 0
        self._seconds = _SHORTEST_PAUSE

    async def run(self, work: Callable[[], _Answer]) -> _Answer:
        """Return what the work answers. Cancelled while it waits, it never begins.

        Raises:
            Overloaded: too much is waiting; says when there will be room.
        """
        if self._under_way > self._most_waiting:
            raise Overloaded(
                f"{self._most_waiting} batches wait for inference already: send it again later, "
                "or to another replica",
                retry_after=max(_SHORTEST_PAUSE, self._seconds * self._under_way),
            )
        self._under_way += 1
        WAITING.inc()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, self._timed, work
            )
        finally:
            self._under_way -= 1
            WAITING.dec()

    def _timed(self, work: Callable[[], _Answer]) -> _Answer:
        start = time.monotonic()
        try:
            return work()
        finally:
            taken = time.monotonic() - start
            self._seconds = _MEMORY * self._seconds + (1 - _MEMORY) * taken
