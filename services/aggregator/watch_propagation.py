"""A downstream model's owner hears of shifts upstream as they are seen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.observations import Observations
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.lineage.warning import PropagationWarning, warn
from services.aggregator.find_common_causes import FindCommonCauses
from services.aggregator.follow_lineage import FollowLineage
from services.aggregator.follow_models import FollowModels
from services.aggregator.ports import OLDEST, ModelDirectory, PublishedEvent, ShiftReader

_WAIT = timedelta(seconds=1)
_PATIENCE_SECONDS = 10.0
_LOOKBACK = timedelta(days=1)
_MOST_ROOTS = 3
_LIKELY = 0.2


@dataclass(frozen=True)
class Warned:
    """Warnings that one event of another model gave."""

    warnings: Sequence[PropagationWarning]
    roots: Sequence[NodeId]
    """What explains the shift, the most likely first."""
    before: Mapping[str, str]
    after: Mapping[str, str]
    """Cursors to resume before the event, and after it."""


@dataclass(frozen=True)
class WatchPropagation:
    """Follows the events of all models, those to come included."""

    directory: ModelDirectory
    shifts: ShiftReader
    lineage: FollowLineage
    models: FollowModels
    causes: FindCommonCauses
    clock: Callable[[], datetime]

    async def __call__(
        self, model: str, cursors: Mapping[str, str] | None, bounds: Bounds, least: float
    ) -> AsyncIterator[Sequence[Warned]]:
        """Yield warnings whose expected shift is not under `least`, at least every second.

        The first yield has none: it tells where the watch begins. `cursors`: resume after them;
        None: from now on.

        Raises:
            InvalidPosition: a cursor is not one of its model's stream.
        """
        if cursors is None:
            # Never quiet, it has looked for long enough.
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self.models.has_looked.wait()
            known = await self.directory.models()
            cursors = {**dict.fromkeys(known, OLDEST), **self.models.cursors}
        reached = dict(cursors)
        yield [Warned((), (), dict(reached), dict(reached))]
        while True:
            reading = await self.shifts.read(await self.directory.models(), reached, _WAIT)
            warned = []
            for published in reading.events:
                before = dict(reached)
                reached[published.event.window.model] = published.cursor
                if found := await self._warnings(model, published, bounds, least):
                    roots = await self._roots(found[0], published)
                    warned.append(Warned(found, roots, before, dict(reached)))
            reached.update(reading.cursors)
            yield warned

    async def _warnings(
        self, model: str, published: PublishedEvent, bounds: Bounds, least: float
    ) -> Sequence[PropagationWarning]:
        if published.event.alert is None:
            return []
        sighting = await self.models.sighting_of(published.event)
        sightings = self.models.sightings(sighting.start)

        def answer(graph: LineageGraph) -> Sequence[PropagationWarning]:
            seen = Observations.of(sightings, graph.nodes)
            found = warn(graph.at(self.clock()), model, sighting, seen, bounds)
            return [warning for warning in found if warning.expected_shift >= least]

        return await self.lineage(answer)

    async def _roots(
        self, strongest: PropagationWarning, published: PublishedEvent
    ) -> Sequence[NodeId]:
        """Return what the moved features have in common, or else what moved itself."""
        sighting = await self.models.sighting_of(published.event)
        if len(sighting.moves) > 1:
            found = await self.causes.of_sighting(sighting, _LOOKBACK, Bounds(), _MOST_ROOTS)
            likely = [cause.node for cause in found.causes if cause.probability >= _LIKELY]
            if likely:
                return likely
        return [strongest.path.nodes[0]]
