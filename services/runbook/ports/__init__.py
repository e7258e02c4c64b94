"""What the use cases need from outside."""

from services.runbook.ports.evidence import (
    ImportanceSource,
    Lineage,
    Previewer,
    ShiftFeed,
    Watermarks,
)
from services.runbook.ports.rules import Conditions, PolicySource, RuleReader
from services.runbook.ports.store import (
    Audit,
    Catalogue,
    Feeds,
    Findings,
    Incidents,
    Outbox,
    Restraints,
    Store,
    Surfaces,
    UnitOfWork,
)
from services.runbook.ports.systems import (
    Actuator,
    Anchors,
    Clock,
    KilledFeatures,
    Pager,
    Registry,
    Releases,
    Timeline,
)

__all__ = [
    "Actuator",
    "Anchors",
    "Audit",
    "Catalogue",
    "Clock",
    "Conditions",
    "Feeds",
    "Findings",
    "ImportanceSource",
    "Incidents",
    "KilledFeatures",
    "Lineage",
    "Outbox",
    "Pager",
    "PolicySource",
    "Previewer",
    "Registry",
    "Releases",
    "Restraints",
    "RuleReader",
    "ShiftFeed",
    "Store",
    "Surfaces",
    "Timeline",
    "UnitOfWork",
    "Watermarks",
]
