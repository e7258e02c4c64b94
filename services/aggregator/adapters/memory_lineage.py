"""The log of lineage in this process's memory, for tests and dry runs."""

from dataclasses import dataclass, field

from services.aggregator.domain.lineage.errors import LogForgotten
from services.aggregator.domain.lineage.facts import LineageFacts
from services.aggregator.domain.lineage.state import GraphState
from services.aggregator.lineage_ports import FactsReading

_AT_ONCE = 100


@dataclass
class MemoryLineage:
    """Implements LineageLog and GraphSnapshots. A cursor counts the facts up to its."""

    facts: list[LineageFacts | None] = field(default_factory=list)
    """None: forgotten."""
    keys: set[str] = field(default_factory=set)
    snapshot: tuple[GraphState, str] | None = None

    async def record(self, facts: LineageFacts) -> bool:
        """Append the facts; False if facts of this key were recorded before."""
        if facts.key in self.keys:
            return False
        self.keys.add(facts.key)
        self.facts.append(facts)
        return True

    async def read(self, cursor: str) -> FactsReading:
        """Return facts after the cursor."""
        start = int(cursor or 0)
        found = self.facts[start : start + _AT_ONCE]
        kept = [facts for facts in found if facts is not None]
        if len(kept) < len(found):
            raise LogForgotten
        return FactsReading(kept, str(start + len(found)) if found else cursor)

    async def load(self) -> tuple[GraphState, str] | None:
        """Return the state and the log's cursor that it goes up to."""
        return self.snapshot

    async def save(self, state: GraphState, cursor: str) -> bool:
        """Keep the state and let the log go up to the cursor; False if a later one is kept."""
        if self.snapshot is not None and int(self.snapshot[1] or 0) >= int(cursor or 0):
            return False
        self.snapshot = state, cursor
        self.facts[: int(cursor or 0)] = [None] * int(cursor or 0)
        return True
