"""What lineage needs from outside.

Every method can be repeated with the same arguments to the same effect. All raise the chassis'
DependencyUnavailable when the store cannot be reached, and its Overloaded when it has no room.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from services.aggregator.domain.lineage.facts import EventKind, LineageFacts, TimelineEvent
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.schema import DatedSchema
from services.aggregator.domain.lineage.state import GraphState


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

    async def read(self, cursor: str) -> FactsReading:
        """Return facts after the cursor (empty: from the first on), none if there are none.

        Raises:
            LogForgotten: facts after the cursor are kept in a snapshot only.
        """


class GraphSnapshots(Protocol):
    """The latest state of the graph that was kept, so that the log need not be kept for ever."""

    async def load(self) -> tuple[GraphState, str] | None:
        """Return the state and the log's cursor that it goes up to; None if none was saved.

        Raises:
            CorruptValue: it does not match its checksums.
        """

    async def save(self, state: GraphState, cursor: str) -> bool:
        """Keep the state and let the log go up to the cursor; False if a later one is kept."""


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

    def holds(self, event: TimelineEvent) -> bool:
        """Whether the event is asked for."""
        return (
            (self.nodes is None or event.node in self.nodes)
            and (self.start is None or event.time >= self.start)
            and (self.end is None or event.time < self.end)
            and (not self.kinds or event.kind in self.kinds)
        )


@dataclass(frozen=True, order=True)
class EventPosition:
    """Where an event stands in the timeline."""

    time: datetime
    event_id: str

    @classmethod
    def of(cls, event: TimelineEvent) -> Self:
        """Return where the event stands."""
        return cls(event.time, event.event_id)


class Timeline(Protocol):
    """What happened to nodes, for the retention."""

    async def record(self, events: Sequence[TimelineEvent]) -> int:
        """Keep the events, each once by its id; return how many were new."""

    async def events(
        self, query: EventQuery, limit: int, after: EventPosition | None = None
    ) -> Sequence[TimelineEvent]:
        """Return events, the latest first; of the same time, the greatest id first.

        `after`: those that come after this position in that order.
        """


class SchemaStore(Protocol):
    """The columns of each dataset when it was last told of, for the retention."""

    async def latest(self, datasets: Collection[NodeId]) -> Mapping[NodeId, DatedSchema]:
        """Return what is known of them; those of which nothing is are left out."""

    async def keep(self, schemas: Mapping[NodeId, DatedSchema]) -> None:
        """Keep the columns of each dataset, unless later ones of it are kept."""


class Upstream(Protocol):
    """What feeds what."""

    async def __call__(
        self, nodes: Collection[NodeId], depth: int, as_of: datetime
    ) -> Mapping[NodeId, int]:
        """Return all nodes at most `depth` edges upstream of these, with the fewest edges to them.

        These are among them, at 0, whether anybody knows them or not.
        """
