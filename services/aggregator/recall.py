"""What changed while nothing was wrong is worked out once, and kept at hand."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.diagnosis import History
from services.aggregator.domain.history import Importances, pair_up, phases_of
from services.aggregator.domain.past import FEWEST_CHANGES, Pair, Plan
from services.aggregator.domain.portrait import Frame, Portrait, portrait_of
from services.aggregator.domain.recollection import Name, Recollection
from services.aggregator.domain.shelf import Shelf
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Window
from services.aggregator.ports import SummaryReader

_READ_AT_ONCE = 8
_AT_ONCE = 2
"""Histories that are worked out at the same time: each takes some 200 MB for 1,000 features."""
_WORKERS = 2
"""Threads that one history keeps busy."""


@dataclass
class _Known:
    """An earlier window, and what is known of it."""

    window: Window
    name: Name
    importances: Importances | None
    portrait: Portrait | None = None


@dataclass(frozen=True)
class _Outline:
    """What a history is to be made of."""

    names: Sequence[Name]
    importances: Sequence[Importances]
    pairs: Sequence[Pair]
    phases: NDArray[np.intp]

    @classmethod
    def of(cls, known: Sequence[_Known], anomaly: Window, lag: timedelta) -> "_Outline":
        windows = [each.window for each in known]
        pairs = pair_up(windows, lag)
        return cls(
            [each.name for each in known],
            [each.importances for each in known if each.importances is not None],
            pairs,
            phases_of(windows, pairs, anomaly, lag),
        )

    def recollection(self, shelf: Shelf[Any]) -> Recollection | None:
        """Return what is known of the past, None if it is too short to be worth it."""
        if len(self.pairs) < FEWEST_CHANGES:
            return None
        return Recollection(Plan.of(self.pairs, self.phases), self.names, shelf)

    def history(self, past: Recollection | None) -> History:
        """Return the history once nothing is left to work out."""
        return History(self.importances, self.pairs, None if past is None else past.past())


@dataclass(frozen=True)
class Recall:
    """Tells how much a model's windows change while nothing is wrong, and what is usual of them.

    Summaries of closed windows never change, so only what is new to this replica is read and worked
    out.
    """

    summaries: SummaryReader
    shelf: Shelf[Any]
    """Importances by window, and parts of recollections."""
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict, init=False)
    _at_work: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False
    )

    async def __call__(
        self,
        features: Sequence[Feature],
        windows: Sequence[Window],
        anomaly: Window,
        lag: timedelta,
    ) -> History:
        """Return the history of closed windows of one checkpoint; they rise in time.

        Those whose summary is missing, corrupt or without examples are left out.
        """
        # Who asks for the same meanwhile finds it on the shelf.
        async with self._locks.setdefault(anomaly.model, asyncio.Lock()):
            known = await self._known(windows)
            history = self._at_hand(known, anomaly, lag)
            if history is None:
                async with self._at_work:
                    history = await self._worked_out(Frame.of(features), known, anomaly, lag)
            return history

    async def _known(self, windows: Sequence[Window]) -> list[_Known]:
        """Return the windows that have a summary, with what is on the shelf of them."""
        marks = await self.summaries.marks(windows)
        return [
            _Known(window, (window.name, mark), self.shelf.get((window.name, mark)))
            for window, mark in zip(windows, marks, strict=True)
            if mark is not None
        ]

    def _at_hand(self, known: Sequence[_Known], anomaly: Window, lag: timedelta) -> History | None:
        """Return the history if nothing has to be read for it."""
        if any(each.importances is None for each in known):
            return None
        outline = _Outline.of(known, anomaly, lag)
        past = outline.recollection(self.shelf)
        if past is not None and past.needed:
            return None
        return outline.history(past)

    async def _worked_out(
        self, frame: Frame, known: Sequence[_Known], anomaly: Window, lag: timedelta
    ) -> History:
        await self._read(frame, [each for each in known if each.importances is None])
        known = [each for each in known if each.importances is not None]
        outline = _Outline.of(known, anomaly, lag)
        past = outline.recollection(self.shelf)
        if past is not None and past.needed:
            needed = {place: known[place] for place in past.needed}
            await self._read(frame, [each for each in needed.values() if each.portrait is None])
            portraits = {n: one.portrait for n, one in needed.items() if one.portrait is not None}
            if len(portraits) < len(needed):
                # One has gone since it was read last: without it there are other pairs.
                return await self._worked_out(
                    frame, [each for each in known if each.importances is not None], anomaly, lag
                )
            await _work_off(await asyncio.to_thread(past.jobs, frame, portraits))
        return outline.history(past)

    async def _read(self, frame: Frame, wanted: Sequence[_Known]) -> None:
        """Read the importances and the portraits of these windows, as far as they are intact."""
        batches = [wanted[n : n + _READ_AT_ONCE] for n in range(0, len(wanted), _READ_AT_ONCE)]

        async def read_every(step: int) -> None:
            for batch in batches[step::_WORKERS]:
                await self._read_batch(frame, batch)

        await asyncio.gather(*map(read_every, range(_WORKERS)))

    async def _read_batch(self, frame: Frame, batch: Sequence[_Known]) -> None:
        summaries = await self.summaries.summaries([each.window for each in batch])
        read = await asyncio.to_thread(lambda: [_of_summary(frame, each) for each in summaries])
        for each, (importances, portrait) in zip(batch, read, strict=True):
            each.importances, each.portrait = importances, portrait
            if importances is not None:
                self.shelf.keep(each.name, importances, importances.nbytes)


def _of_summary(
    frame: Frame, summary: Summary | None
) -> tuple[Importances, Portrait] | tuple[None, None]:
    if summary is None or not summary.example_count:
        return None, None
    # Copied, lest the whole value that they are read from stays with them.
    importances = Importances(summary.gfi.copy(), summary.standard_error.copy())
    return importances, portrait_of(frame, summary)


async def _work_off(jobs: Sequence[Callable[[], None]]) -> None:
    left: SimpleQueue[Callable[[], None]] = SimpleQueue()
    for job in jobs:
        left.put(job)

    def work() -> None:
        while True:
            try:
                job = left.get_nowait()
            except Empty:
                return
            job()

    await asyncio.gather(*(asyncio.to_thread(work) for _ in range(_WORKERS)))
