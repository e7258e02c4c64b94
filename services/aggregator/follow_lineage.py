"""The lineage graph is kept at hand, as recorded by now, for whoever asks of it."""

import asyncio
import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from services.aggregator.domain.lineage.errors import LogForgotten
from services.aggregator.domain.lineage.facts import LineageFacts
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.lineage_ports import GraphSnapshots, LineageLog

_T = TypeVar("_T")
_MOST_FACTS_SINCE = 2_000


@dataclass
class _Followed:
    """The graph as this replica knows it."""

    graph: LineageGraph | None = None
    cursor: str = ""
    since_snapshot: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class FollowLineage:
    """Applies what was recorded since it was last asked.

    The graph follows from the log alone: all replicas give the same answers, and one that was
    restarted begins with the snapshot.
    """

    log: LineageLog
    snapshots: GraphSnapshots
    retention: timedelta
    """How long edges that have ended are kept."""
    clock: Callable[[], datetime]
    _followed: _Followed = field(default_factory=_Followed, init=False)

    async def __call__(self, question: Callable[[LineageGraph], _T]) -> _T:
        """Return what the question says of the graph; it runs in a thread, one at a time.

        Raises:
            CorruptValue: the snapshot does not match its checksums.
        """
        async with self._followed.lock:
            graph = await self._caught_up()
            return await asyncio.to_thread(question, graph)

    async def tend(self) -> None:
        """Index what has come in, and keep a snapshot, if it is time to.

        Raises:
            CorruptValue: the snapshot does not match its checksums.
        """
        followed = self._followed
        async with followed.lock:
            graph = await self._caught_up()
        if graph.needs_index:
            index = await asyncio.to_thread(graph.index)
            async with followed.lock:
                # Unless the graph was begun anew meanwhile.
                if followed.graph is graph:
                    graph.adopt(index)
                    # The graph stays. To look through all of it for garbage, every few hundred
                    # questions, holds one of them up for a twelfth of a second.
                    gc.freeze()
        if followed.since_snapshot > _MOST_FACTS_SINCE:
            await self._keep()

    async def _keep(self) -> None:
        followed = self._followed
        async with followed.lock:
            graph = await self._caught_up()
            state = await asyncio.to_thread(graph.state, self.clock() - self.retention)
            cursor, followed.since_snapshot = followed.cursor, 0
        await self.snapshots.save(state, cursor)

    async def _caught_up(self) -> LineageGraph:
        followed = self._followed
        if followed.graph is None:
            followed.graph = await self._begin()
        try:
            while (reading := await self.log.read(followed.cursor)).cursor != followed.cursor:
                await asyncio.to_thread(_apply_all, followed.graph, reading.facts)
                followed.cursor = reading.cursor
                followed.since_snapshot += len(reading.facts)
        except LogForgotten:
            followed.graph = None
            return await self._caught_up()
        return followed.graph

    async def _begin(self) -> LineageGraph:
        followed = self._followed
        followed.cursor, followed.since_snapshot = "", 0
        kept = await self.snapshots.load()
        if kept is None:
            return LineageGraph()
        state, followed.cursor = kept
        return await asyncio.to_thread(LineageGraph.of, state)


def _apply_all(graph: LineageGraph, all_facts: Iterable[LineageFacts]) -> None:
    for facts in all_facts:
        graph.apply(facts)
