"""What event time has left behind is brought up to date."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from services.aggregator.close import Close
from services.aggregator.detect import Detect
from services.aggregator.domain.errors import WindowNotFound
from services.aggregator.fold import Fold
from services.aggregator.ports import WindowKeeper, Work

_RENEWALS = 3
_Verb = Callable[[str, datetime], Awaitable[object]]


@dataclass(frozen=True)
class Sweep:
    """Folds, closes, judges and forgets a model's windows.

    Nothing of it rests on having been called at the right time: the work is read from the store, so
    a crash anywhere leaves it to the next sweep of any replica.
    """

    keeper: WindowKeeper
    fold: Fold
    close: Close
    detect: Detect
    lease: timedelta
    """How long after a replica has died another takes its model over; renewed while it lives."""

    async def __call__(self, model: str) -> None:
        """Do what there is to do for the model, unless another replica is at it.

        Raises:
            Exception: what the first window that could not be dealt with raised; the others were.
        """
        failures = list(await self._folding_failure(model))
        if await self.keeper.work(model):
            renewing = asyncio.create_task(self._renew(model))
            try:
                failures += await self._work_through(model)
            finally:
                renewing.cancel()
                await asyncio.wait([renewing])
        if failures:
            raise failures[0]

    async def _folding_failure(self, model: str) -> Sequence[Exception]:
        """Fold; return what went wrong, so that it does not keep windows open."""
        try:
            await self.fold(model)
        except Exception as error:
            return [error]
        return []

    async def _work_through(self, model: str) -> Sequence[Exception]:
        failures: list[Exception] = []
        # An anomalous window may need an earlier one as control, so all close before one is judged.
        steps: Sequence[tuple[Callable[[Work], Sequence[datetime]], _Verb]] = (
            (attrgetter("closable"), self.close),
            (attrgetter("evaluable"), self.detect),
            (attrgetter("expired"), self.keeper.forget),
        )
        for pick, verb in steps:
            for start in pick(await self.keeper.work(model)):
                if not await self.keeper.acquire(model, self.lease):
                    return failures
                failures += await self._failure(verb, model, start)
        await self.keeper.release(model)
        return failures

    async def _renew(self, model: str) -> None:
        """Extend the lease while one window takes long; where that fails, another may take over."""
        is_ours = True
        while is_ours:
            await asyncio.sleep(self.lease / _RENEWALS / timedelta(seconds=1))
            is_ours = await self.keeper.acquire(model, self.lease)

    async def _failure(self, verb: _Verb, model: str, start: datetime) -> Sequence[Exception]:
        """Return what went wrong with one window, so that it does not hold up the others."""
        try:
            await verb(model, start)
        except WindowNotFound:
            # Its retention ran out while its name was still listed.
            await self.keeper.forget(model, start)
        except Exception as error:
            return [error]
        return []
