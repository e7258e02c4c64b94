"""Inference on one thread: one at a time, and no more waiting than was agreed."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from services.attribution.adapters.metrics import WAITING
from services.chassis.errors import Overloaded

_Prepared = TypeVar("_Prepared")
_Answer = TypeVar("_Answer")
_SHORTEST_PAUSE = 0.1
_MEMORY = 0.8
"""Weight of the past in the mean time that work takes."""


class Inference:
    """Takes on work from all streams; what would have to wait for too long is sent away.

    Preparation runs beside inference on a thread of its own.
    """

    def __init__(self, executor: Executor, preparing: Executor, most_waiting: int) -> None:
        """Infer on `executor` and prepare on `preparing`, which have one thread each.

        At most `most_waiting` pieces of work wait, prepared or not.
        """
        self._executor = executor
        self._preparing = preparing
        self._most_waiting = most_waiting
        self._under_way = 0
        self._seconds = _SHORTEST_PAUSE

    async def run(
        self, prepare: Callable[[], _Prepared], work: Callable[[_Prepared], _Answer]
    ) -> _Answer:
        """Return what the work answers to what was prepared. Cancelled, what waits never begins.

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
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._preparing, prepare)
            return await loop.run_in_executor(self._executor, self._timed, work, prepared)
        finally:
            self._under_way -= 1
            WAITING.dec()

    def _timed(self, work: Callable[[_Prepared], _Answer], prepared: _Prepared) -> _Answer:
        start = time.monotonic()
        try:
            return work(prepared)
        finally:
            taken = time.monotonic() - start
            self._seconds = _MEMORY * self._seconds + (1 - _MEMORY) * taken
