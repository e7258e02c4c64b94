"""What event time has left behind is brought up to date."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from services.aggregator.close import Close
from services.aggregator.detect import Detect
from services.aggregator.domain.errors import WindowNotFound
from services.aggregator.ports import WindowKeeper, Work

_LEASE = timedelta(seconds=10)
_Verb = Callable[[str, datetime], Awaitable[object]]


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
        """Do what there is to do for the model, unless another replica is at it.

        Raises:
            Exception: what the first window that could not be dealt with raised; the others were.
        """
        if not await self.keeper.work(model):
            return
        failures: list[Exception] = []
        # An anomalous window may need an earlier one as control, so all close before one is judged.
        steps: Sequence[tuple[Callable[[Work], Sequence[datetime]], _Verb]] = (
            (attrgetter("closable"), self.close),
            (attrgetter("evaluable"), self.detect),
            (attrgetter("expired"), self.keeper.forget),
        )
        for pick, verb in steps:
            for start in pick(await self.keeper.work(model)):
                if not await self.keeper.acquire(model, _LEASE):
                    return
                failures += await self._failure(verb, model, start)
        await self.keeper.release(model)
        if failures:
            raise failures[0]

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
