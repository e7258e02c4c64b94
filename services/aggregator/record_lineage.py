"""What somebody tells of lineage is recorded, once."""

from dataclasses import dataclass

from services.aggregator.domain.lineage.facts import LineageFacts
from services.aggregator.lineage_ports import LineageLog, Timeline


@dataclass(frozen=True)
class RecordLineage:
    """Puts events into the timeline and the rest into the log that every replica follows."""

    log: LineageLog
    timeline: Timeline

    async def __call__(self, facts: LineageFacts) -> bool:
        """Record the facts; False if facts of this key were recorded before."""
        # The events first: if this process dies in between, the sender tries again, and an event
        # that comes twice counts once.
        if facts.events:
            await self.timeline.record(facts.events)
        return await self.log.record(facts)
