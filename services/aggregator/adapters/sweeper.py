"""Keeps all models up to date: at once when one has work, and each of them every second."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from services.aggregator.adapters.metrics import SWEEP_SECONDS
from services.aggregator.ports import ModelDirectory
from services.chassis.errors import DependencyUnavailable, Overloaded

_log = logging.getLogger(__name__)
_PARTS = 20
"""In which a round goes through the models: all of hundreds at once would hold callers up."""


@dataclass(frozen=True)
class Sweeper:
    """Runs the sweep over models until it is cancelled.

    `wake` brings a model's turn forward; that all get one regularly is what makes sure that a crash
    between a store and a wake loses nothing.
    """

    sweep: Callable[[str], Awaitable[None]]
    directory: ModelDirectory
    interval_seconds: float
    at_once: int
    """Models that are swept at the same time."""
    _woken: set[str] = field(default_factory=set, init=False)
    _failed: set[str] = field(default_factory=set, init=False)
    _bell: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def wake(self, model: str) -> None:
        """Sweep the model as soon as possible; one that has just failed waits for its turn."""
        if model not in self._failed:
            self._woken.add(model)
            self._bell.set()

    async def run(self) -> None:
        """Sweep until cancelled; what fails is logged and tried again."""
        slots = asyncio.Semaphore(self.at_once)
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            self._failed.clear()
            models = await self._models()
            for part in range(_PARTS):
                await self._sweep_all(models[part::_PARTS], slots)
                part_ends = started + self.interval_seconds * (part + 1) / _PARTS
                while (left := part_ends - loop.time()) > 0:
                    await self._sweep_all(await self._woken_within(left), slots)

    async def _models(self) -> Sequence[str]:
        try:
            return await self.directory.models()
        except Exception as error:
            _log_failure("cannot list the models", error)
            return ()

    async def _woken_within(self, seconds: float) -> Sequence[str]:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        self._bell.clear()
        woken = sorted(self._woken)
        self._woken.clear()
        return woken

    async def _sweep_all(self, models: Sequence[str], slots: asyncio.Semaphore) -> None:
        await asyncio.gather(*(self._sweep(model, slots) for model in models))

    async def _sweep(self, model: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                with SWEEP_SECONDS.time():
                    await self.sweep(model)
            except Exception as error:
                self._failed.add(model)
                _log_failure(f"cannot sweep {model}", error)


def _log_failure(what: str, error: Exception) -> None:
    if isinstance(error, DependencyUnavailable | Overloaded):
        _log.warning("%s, will try again: %s", what, error)
    else:
        _log.error("%s, will try again", what, exc_info=error)
