"""What somebody tells of the lineage graph at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.aggregator.domain.lineage.errors import InvalidFacts
from services.aggregator.domain.lineage.nodes import NodeId


class TransformKind(Enum):
    """Whether a source's values are in the target, or only decide what gets there."""

    DIRECT = "DIRECT"
    INDIRECT = "INDIRECT"


@dataclass(frozen=True)
class Transform:
    """How a source becomes a target."""

    kind: TransformKind = TransformKind.DIRECT
    operation: str = ""
    """Such as IDENTITY, AGGREGATION or JOIN."""
    description: str = ""

    def __hash__(self) -> int:
        # Without the kind, whose own hash is slow.
        return hash((self.operation, self.description))


@dataclass(frozen=True)
class Node:
    """What is told of a node besides its edges. Empty parts leave what was told before."""

    id: NodeId
    description: str = ""
    owner: str = ""
    schema_version: str = ""
    """Of a dataset."""
    facets: str = ""
    """A JSON object by facet name, of what Aftershock does not understand; or empty."""


@dataclass(frozen=True)
class Edge:
    """A shift can pass from the source to the target."""

    source: NodeId
    target: NodeId
    transform: Transform = Transform()
    strength: float | None = None
    """Shift of the target for a shift of 1 of the source; None: as usual for the transform, and of
    a feature's edge into a model measured."""
    valid_from: datetime | None = None
    """None: since the facts' time."""
    valid_until: datetime | None = None
    """Exclusive; None: until somebody says that it has ended."""

    def __post_init__(self) -> None:
        """Raises InvalidFacts: the strength is no weight, or the edge ends before it begins."""
        if self.strength is not None and not (math.isfinite(self.strength) and self.strength >= 0):
            raise InvalidFacts(
                f"the strength of {self.source} -> {self.target} must be finite and not negative, "
                f"not {self.strength}",
                field="strength",
            )
        start, end = self.valid_from, self.valid_until
        if start is not None and end is not None and end <= start:
            raise InvalidFacts(
                f"{self.source} -> {self.target} ends before it begins", field="valid_until"
            )


@dataclass(frozen=True)
class EndedEdge:
    """An edge that is no more from the facts' time on."""

    source: NodeId
    target: NodeId


class EventKind(Enum):
    """What an event was."""

    DEPLOY = "DEPLOY"
    PIPELINE_RUN = "PIPELINE_RUN"
    FAILED_RUN = "FAILED_RUN"
    SCHEMA_CHANGE = "SCHEMA_CHANGE"
    CHECKPOINT_PUBLISH = "CHECKPOINT_PUBLISH"
    FLAG_FLIP = "FLAG_FLIP"
    INCIDENT = "INCIDENT"
    LIFECYCLE_CHANGE = "LIFECYCLE_CHANGE"
    ROLLBACK = "ROLLBACK"
    AUDIT_FINDING = "AUDIT_FINDING"
    ROW_ACTION = "ROW_ACTION"
    AUDIT = "AUDIT"


@dataclass(frozen=True)
class TimelineEvent:
    """Something that happened to a node."""

    event_id: str
    """One that arrives twice counts once."""
    node: NodeId
    kind: EventKind
    time: datetime
    summary: str
    """In plain words."""
    actor: str = ""
    details: str = ""
    """A JSON object by name, or empty."""


@dataclass(frozen=True)
class LineageFacts:
    """What one sender tells at once: it takes effect as a whole, once by `key`.

    Nodes need not be told of before, or beside, the edges between them. An edge lasts until its
    sender (the `provenance`) ends it: by its `valid_until`, among `ended_edges`, by `ended_nodes`,
    or by telling of all edges into its target (`restated_nodes`), or all at all (`is_complete`),
    without it.
    """

    key: str
    """One that arrives twice counts once."""
    provenance: str
    """Who tells; edges that others told of are left alone, but those of ended nodes."""
    time: datetime
    """When all this was so."""
    nodes: Sequence[Node] = ()
    edges: Sequence[Edge] = ()
    ended_edges: Sequence[EndedEdge] = ()
    ended_nodes: Sequence[NodeId] = ()
    """Of which every edge ends, whoever told of it: dropped datasets."""
    restated_nodes: Sequence[NodeId] = ()
    """Nodes of which `edges` holds all incoming edges of this provenance."""
    is_complete: bool = False
    """`edges` holds all edges of this provenance."""
    events: Sequence[TimelineEvent] = ()
