"""What lineage needs from outside.

Every method can be repeated with the same arguments to the same effect. All raise the chassis'
DependencyUnavailable when the store cannot be reached, and its Overloaded when it has no room.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.aggregator.domain.lineage.facts import EventKind, LineageFacts, TimelineEvent
from services.aggregator.domain.lineage.nodes import NodeId


@dataclass(frozen=True)
class FactsReading:
    """What a look at the log of facts gave."""

    facts: Sequence[LineageFacts]
    """In the order in which they were recorded; those that are corrupt are left out."""
    cursor: str
    """Where to read on."""


class LineageLog(Protocol):
    """All facts in one order, the same for every replica."""

    async def record(self, facts: LineageFacts) -> bool:
        """Append the facts; False if facts of this key were recorded before."""

    async def read(self, cursor: str, wait: timedelta) -> FactsReading:
        """Return facts after the cursor (empty: from the first on).

        Waits at most `wait` for the first one.

        Raises:
            InvalidPosition: the cursor is not one of this log's.
        """


@dataclass(frozen=True)
class EventQuery:
    """Which events of the timeline are asked for."""

    nodes: Collection[NodeId] | None
    """None: of all nodes."""
    start: datetime | None = None
    """None: from the oldest kept."""
    end: datetime | None = None
    """Exclusive; None: to the latest."""
    kinds: Collection[EventKind] = ()
    """Empty: of all kinds."""


class Timeline(Protocol):
    """What happened to nodes, for the retention."""

    async def record(self, events: Sequence[TimelineEvent]) -> int:
        """Keep the events, each once by its id; return how many were new."""

    async def events(
        self, query: EventQuery, limit: int, after: TimelineEvent | None = None
    ) -> Sequence[TimelineEvent]:
        """Return events, the latest first and by id where times are the same.

        `after`: those that come after this one in that order.
        """
