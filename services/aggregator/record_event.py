"""Something that happened to a node is told by whoever did it."""

from dataclasses import dataclass

from services.aggregator.domain.horizon import Horizon
from services.aggregator.domain.lineage.facts import TimelineEvent
from services.aggregator.lineage_ports import Timeline


@dataclass(frozen=True)
class RecordEvent:
    """Puts one event into the timeline. Its node need not be known to the graph."""

    timeline: Timeline
    horizon: Horizon

    async def __call__(self, event: TimelineEvent) -> bool:
        """Record the event; False if one of this id was recorded before, or it is too old to keep.

        Raises:
            AheadOfTime: it has yet to happen.
        """
        self.horizon.check(event.time, "event.time")
        return bool(await self.timeline.record([event]))
