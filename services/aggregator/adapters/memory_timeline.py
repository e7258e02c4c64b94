"""Events of the timeline in this process's memory, for tests and dry runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.aggregator.domain.lineage.facts import TimelineEvent
from services.aggregator.lineage_ports import EventPosition, EventQuery


@dataclass(frozen=True)
class MemoryTimeline:
    """Implements Timeline."""

    retention: timedelta
    now: Callable[[], datetime]
    kept: dict[str, TimelineEvent] = field(default_factory=dict)

    async def record(self, events: Sequence[TimelineEvent]) -> int:
        """Keep the events, each once by its id; return how many were new."""
        before = len(self.kept)
        oldest = self.now() - self.retention
        for event in events:
            if event.time > oldest:
                self.kept.setdefault(event.event_id, event)
        return len(self.kept) - before

    async def events(
        self, query: EventQuery, limit: int, after: EventPosition | None = None
    ) -> Sequence[TimelineEvent]:
        """Return events, the latest first."""
        oldest = self.now() - self.retention
        wanted = (
            event
            for event in self.kept.values()
            if event.time > oldest
            and query.holds(event)
            and (after is None or EventPosition.of(event) < after)
        )
        return sorted(wanted, key=EventPosition.of, reverse=True)[:limit]
