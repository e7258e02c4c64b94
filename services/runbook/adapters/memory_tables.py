"""What the runbook's store in memory holds."""

from dataclasses import dataclass, field
from datetime import datetime

from services.runbook.domain.audit import AuditRecord
from services.runbook.domain.incident import Incident
from services.runbook.domain.surface import Surface
from services.runbook.domain.work import Work


@dataclass(frozen=True)
class Wanted:
    """A row of the outbox."""

    work: Work
    due: datetime
    lease_until: datetime | None = None
    attempts: int = 0


@dataclass(frozen=True)
class ScoringCheckpoint:
    """That scored a model's newest window, and since when."""

    digest: str
    since: datetime | None


@dataclass
class Tables:
    """Everything that a store in memory holds."""

    incidents: dict[str, Incident] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    audit: list[AuditRecord] = field(default_factory=list)
    outbox: dict[int, Wanted] = field(default_factory=dict)
    put: int = 0
    cursors: dict[str, str] = field(default_factory=dict)
    window_ends: dict[str, datetime] = field(default_factory=dict)
    checkpoints: dict[str, ScoringCheckpoint] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    findings: dict[str, datetime] = field(default_factory=dict)
    surfaces: dict[tuple[str, str], Surface] = field(default_factory=dict)

    def copy(self) -> "Tables":
        """Return tables that can change apart; what they hold is immutable."""
        return Tables(
            dict(self.incidents),
            dict(self.versions),
            list(self.audit),
            dict(self.outbox),
            self.put,
            dict(self.cursors),
            dict(self.window_ends),
            dict(self.checkpoints),
            set(self.seen),
            dict(self.findings),
            dict(self.surfaces),
        )
