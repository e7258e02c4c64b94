"""The latest window is kept at hand, pane by pane, for whoever asks of it."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from services.aggregator.domain.block import Pane
from services.aggregator.domain.errors import CorruptValue, WindowNotFound
from services.aggregator.domain.latest import LATEST, LatestPanes, LatestWindow, PaneEntry
from services.aggregator.domain.sliding import SlidingWindow
from services.aggregator.domain.summary import Summary, seed_of
from services.aggregator.domain.window import Interval, WindowRules, WindowState
from services.aggregator.ports import LatestReader

_MOST_LOOKS = 5
_MICROSECOND = timedelta(microseconds=1)


@dataclass
class _Followed:
    """One model's latest window as this replica knows it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    window: SlidingWindow = field(default_factory=lambda: SlidingWindow(0))
    answer: tuple[LatestPanes, LatestWindow] | None = None


@dataclass(frozen=True)
class Follow:
    """Reads what has entered since it was last asked, and forgets what has left.

    What a latest window is follows from what the store holds at one step alone: all replicas give
    the same answer, and one that was restarted reads anew.
    """

    reader: LatestReader
    rules: WindowRules
    resamples: int
    most_models: int
    """So many models' panes are kept at hand, those asked for last."""
    _followed: OrderedDict[str, _Followed] = field(default_factory=OrderedDict, init=False)

    async def __call__(self, model: str) -> LatestWindow:
        """Return the model's latest window with its importances.

        Raises:
            WindowNotFound: it holds nothing.
            CorruptValue: none of its panes is intact.
        """
        followed = self._followed.setdefault(model, _Followed())
        self._followed.move_to_end(model)
        if len(self._followed) > self.most_models:
            self._followed.popitem(last=False)
        async with followed.lock:
            return await self._catch_up(model, followed)

    async def _catch_up(self, model: str, followed: _Followed) -> LatestWindow:
        held = await self._held(model)
        if followed.answer is None or followed.answer[0] != held:
            held = await self._read(model, followed, held)
            window = await asyncio.to_thread(self._measured, model, held, followed.window)
            followed.answer = held, window
        return followed.answer[1]

    async def _held(self, model: str) -> LatestPanes:
        held = await self.reader.latest(model)
        if held is None:
            raise WindowNotFound(f"models/{model}/windows/{LATEST} with examples")
        return held

    async def _read(self, model: str, followed: _Followed, held: LatestPanes) -> LatestPanes:
        """Read the panes that are new, and again while the window moves on under our eyes."""
        for _ in range(_MOST_LOOKS):
            new = [entry for entry in held.entries if entry not in followed.window.names]
            read = dict(zip(new, await self.reader.latest_panes(model, new), strict=True))
            intact = {entry: pane for entry, pane in read.items() if pane is not None}
            followed.window = await asyncio.to_thread(_slid, followed.window, held, intact)
            if len(intact) == len(new):
                break
            now = await self._held(model)
            if now == held:
                break
            held = now
        return held

    def _measured(self, model: str, held: LatestPanes, window: SlidingWindow) -> LatestWindow:
        name = f"models/{model}/windows/{LATEST}"
        if not window.names:
            raise CorruptValue(f"every pane of {name}")
        summary = Summary(
            window.weights.considered_count,
            window.weights.displayed_count,
            *window.importances(),
            window.standard_errors(self.resamples, seed_of(name)),
        )
        first, last = held.entries[0].event_time, held.entries[-1].event_time
        return LatestWindow(
            model=model,
            interval=Interval(first, last + _MICROSECOND),
            state=WindowState.OPEN,
            digest=held.digest,
            method=held.method,
            considered_count=summary.considered_count,
            displayed_count=summary.displayed_count,
            calibration=None,
            panes=window.panes,
            summary=summary,
            oldest=self.rules.containing(first),
            restart_time=held.restart_time,
        )


def _slid(window: SlidingWindow, held: LatestPanes, new: Mapping[PaneEntry, Pane]) -> SlidingWindow:
    """Return the window with what is held and known of it; one that shares nothing begins anew."""
    staying = set(held.entries).intersection(window.names)
    if not staying and new:
        window = SlidingWindow(next(iter(new.values())).feature_count)
    for name in [name for name in window.names if name not in staying]:
        window.leave(name)
    for name, pane in new.items():
        window.enter(name, pane)
    return window
