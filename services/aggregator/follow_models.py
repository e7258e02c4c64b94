"""What all models' windows show is kept at hand: who moved, and how important features are."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.aggregator.domain.errors import CheckpointNotFound, CorruptValue
from services.aggregator.domain.lineage.observations import FeatureMove, Sighting
from services.aggregator.domain.lineage.strength import LEAST
from services.aggregator.domain.shift import FeatureShift, ShiftEvent
from services.aggregator.domain.window import Window
from services.aggregator.follow_lineage import FollowLineage
from services.aggregator.ports import CheckpointStore, ModelDirectory, ShiftReader, WindowReader

_log = logging.getLogger(__name__)
_MOST_SIGHTINGS = 500


@dataclass(frozen=True)
class FollowModels:
    """Reads the models' streams of events from the oldest kept on, and goes on.

    A model's healthy windows give the lineage graph the strengths of its features' edges.
    """

    directory: ModelDirectory
    checkpoints: CheckpointStore
    windows: WindowReader
    shifts: ShiftReader
    lineage: FollowLineage
    _sightings: dict[str, deque[Sighting]] = field(default_factory=dict, init=False)
    _cursors: dict[str, str] = field(default_factory=dict, init=False)
    _names: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict, init=False)
    has_looked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set once what was there when the service began has been taken in."""

    async def __call__(self, wait: timedelta) -> None:
        """Take in what has come, waiting at most `wait` for the first event."""
        reading = await self.shifts.read(await self.directory.models(), self._cursors, wait)
        healthy: dict[str, Window] = {}
        for published in reading.events:
            window = published.event.window
            sighting = await self.sighting_of(published.event)
            kept = self._sightings.setdefault(window.model, deque(maxlen=_MOST_SIGHTINGS))
            kept.append(sighting)
            if window.is_healthy:
                healthy[window.model] = window
        for window in healthy.values():
            await self._measure(window)
        self._cursors.update(reading.cursors)
        if not reading.events:
            self.has_looked.set()

    @property
    def cursors(self) -> Mapping[str, str]:
        """By model: up to where its events have been taken in."""
        return dict(self._cursors)

    def sightings(self, start: datetime, end: datetime | None = None) -> Sequence[Sighting]:
        """Return what windows showed that start from `start` on and before `end` (None: all)."""
        return [
            sighting
            for kept in list(self._sightings.values())
            for sighting in list(kept)
            if start <= sighting.start and (end is None or sighting.start < end)
        ]

    async def sighting_of(self, event: ShiftEvent) -> Sighting:
        """Return what an event says of its model and its features."""
        window, comparison = event.window, event.comparison
        calibration = window.calibration
        before = comparison.control.window.calibration if comparison else None
        shift = 0.0
        if calibration is not None:
            shift = abs(_log_of(calibration.ratio) - (_log_of(before.ratio) if before else 0.0))
        significant = [s for s in comparison.shifts if s.significant] if comparison else []
        return Sighting(
            model=window.model,
            start=window.interval.start,
            end=window.interval.end,
            shift=shift,
            has_moved=window.is_anomalous,
            features=await self._features(window),
            moves=[FeatureMove(moved.feature.name, relative(moved)) for moved in significant],
        )

    async def _features(self, window: Window) -> tuple[str, ...]:
        """Return the names of the model's features, in the checkpoint's order."""
        key = window.model, window.digest
        if key not in self._names:
            try:
                checkpoint = await self.checkpoints.find(*key)
            except CheckpointNotFound:
                return ()
            self._names[key] = tuple(feature.name for feature in checkpoint.features)
        return self._names[key]

    async def _measure(self, window: Window) -> None:
        try:
            summary = await self.windows.summary(window)
        except CorruptValue as error:
            _log.error("strengths stay as they were: %s", error)
            return
        features = await self._features(window)
        if summary is None or len(summary.gfi) != len(features):
            return
        gfi, since = summary.gfi, window.interval.start
        await self.lineage(lambda graph: graph.measure(window.model, features, gfi, since))


def relative(shift: FeatureShift) -> float:
    """Return the change of a feature's GFI in multiples of its healthy GFI."""
    return abs(shift.shift) / max(shift.control_gfi, LEAST)


def _log_of(ratio: float) -> float:
    """Return the logarithm of a calibration; one that is not known says nothing."""
    return math.log(ratio) if 0 < ratio < math.inf else 0.0
