"""What event time has left behind is brought up to date."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.aggregator.close import Close
from services.aggregator.detect import Detect
from services.aggregator.domain.errors import WindowNotFound
from services.aggregator.ports import WindowKeeper, Work

_LEASE = timedelta(seconds=10)


@dataclass(frozen=True)
class Sweep:
    """Closes, judges and forgets a model's windows.

    Nothing of it rests on having been called at the right time: the work is read from the store, so
    a crash anywhere leaves it to the next sweep of any replica.
    """

    keeper: WindowKeeper
    close: Close
    detect: Detect

    async def __call__(self, model: str) -> None:
        """Do what there is to do for the model, unless another replica is at it."""
        while work := await self.keeper.work(model):
            verb, starts = self._first(work)
            for start in starts:
                if not await self.keeper.acquire(model, _LEASE):
                    return
                await self._do(verb, model, start)
        await self.keeper.release(model)

    def _first(
        self, work: Work
    ) -> tuple[Callable[[str, datetime], Awaitable[object]], Sequence[datetime]]:
        # An anomalous window may need an earlier one as control, so all close before one is judged;
        # and none is forgotten unjudged.
        if work.closable:
            return self.close, work.closable
        if work.evaluable:
            return self.detect, work.evaluable
        return self.keeper.forget, work.expired

    async def _do(
        self,
        verb: Callable[[str, datetime], Awaitable[object]],
        model: str,
        start: datetime,
    ) -> None:
        try:
            await verb(model, start)
        except WindowNotFound:
            # Its retention ran out while its name was still listed.
            await self.keeper.forget(model, start)
