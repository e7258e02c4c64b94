"""Pipelines tell what they read and write as they run."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from services.aggregator.domain.horizon import Horizon
from services.aggregator.domain.lineage.facts import LineageFacts, TimelineEvent
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind
from services.aggregator.domain.lineage.schema import (
    DatedSchema,
    Observation,
    Schema,
    SchemaChange,
)
from services.aggregator.lineage_ports import SchemaStore


@dataclass(frozen=True)
class Observe:
    """Records what was observed, and what the datasets' columns tell by having changed."""

    schemas: SchemaStore
    record: Callable[[LineageFacts], Awaitable[bool]]
    """Records facts; False if those of this key were recorded before."""
    horizon: Horizon

    async def __call__(self, observation: Observation) -> bool:
        """Record it; False if it was recorded before.

        Raises:
            AheadOfTime: it has yet to happen.
        """
        facts, schemas = observation.facts, observation.schemas
        self.horizon.check(facts.time, "eventTime")
        known = await self.schemas.latest(schemas.keys())
        is_new = await self.record(_with_changes(facts, schemas, known))
        # Last: if this process dies before, the sender tries again, and the change is seen again.
        await self.schemas.keep({node: DatedSchema(s, facts.time) for node, s in schemas.items()})
        return is_new


def _with_changes(
    facts: LineageFacts, schemas: Mapping[NodeId, Schema], known: Mapping[NodeId, DatedSchema]
) -> LineageFacts:
    """Return the facts with an event for each changed dataset; columns that are gone have ended."""
    events: list[TimelineEvent] = []
    ended: list[NodeId] = []
    for dataset, schema in schemas.items():
        before = known.get(dataset)
        # What is late says nothing of a change: the columns may have changed back since.
        if before is None or before.time >= facts.time or before.schema.version == schema.version:
            continue
        change = SchemaChange.between(before.schema, schema)
        events.append(change.event(dataset, facts.time, schema.version, facts.provenance))
        ended.extend(
            NodeId(NodeKind.COLUMN, dataset.namespace, dataset.name, column)
            for column in change.removed
        )
    return replace(
        facts,
        events=(*facts.events, *events),
        ended_nodes=(*facts.ended_nodes, *ended),
    )
