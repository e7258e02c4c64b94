"""What the columns of a dataset are, and what became of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from services.aggregator.domain.lineage.facts import EventKind, LineageFacts, TimelineEvent
from services.aggregator.domain.lineage.nodes import NodeId

_NAMED = 10


@dataclass(frozen=True)
class Schema:
    """The columns of a dataset."""

    columns: Mapping[str, str]
    """Type by name."""

    @property
    def version(self) -> str:
        """Twelve digits that equal columns have in common, in whatever order."""
        content = json.dumps(sorted(self.columns.items()))
        return hashlib.sha256(content.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class DatedSchema:
    """The columns that a dataset had when it was last told of."""

    schema: Schema
    time: datetime


@dataclass(frozen=True)
class SchemaChange:
    """How a dataset's columns differ from those before; names sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    retyped: tuple[str, ...]

    @classmethod
    def between(cls, before: Schema, after: Schema) -> Self:
        """Return how `after` differs from `before`."""
        old, new = before.columns, after.columns
        kept = old.keys() & new.keys()
        return cls(
            added=tuple(sorted(new.keys() - old.keys())),
            removed=tuple(sorted(old.keys() - new.keys())),
            retyped=tuple(sorted(name for name in kept if old[name] != new[name])),
        )

    def event(self, dataset: NodeId, time: datetime, version: str, actor: str) -> TimelineEvent:
        """Return the change as an event of the dataset; `version` is of the new columns."""
        told = (("added", self.added), ("removed", self.removed), ("retyped", self.retyped))
        details = {what: list(names) for what, names in told if names}
        words = "; ".join(f"{what} {_listed(names)}" for what, names in told if names)
        identity = f"{dataset} {version} {time.isoformat()}"
        return TimelineEvent(
            event_id=f"schema:{hashlib.sha256(identity.encode()).hexdigest()[:32]}",
            node=dataset,
            kind=EventKind.SCHEMA_CHANGE,
            time=time,
            summary=f"columns changed: {words}",
            actor=actor,
            details=json.dumps(details),
        )


@dataclass(frozen=True)
class Observation:
    """Lineage as a pipeline saw it, with the columns of the datasets that it touched."""

    facts: LineageFacts
    schemas: Mapping[NodeId, Schema]


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
