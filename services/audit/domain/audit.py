"""An audit: a job over one snapshot, and the states it goes through."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Self

from services.audit.domain.errors import AuditError
from services.audit.domain.parameters import AuditParameters, SnapshotFile


class AuditState(Enum):
    """Where an audit is."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"
    """The service stopped while it waited or ran."""

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self not in (AuditState.QUEUED, AuditState.RUNNING)


@dataclass(frozen=True)
class Failure:
    """Why an audit failed."""

    kind: str
    """Name of the error's class."""
    message: str
    field: str | None = None

    @classmethod
    def of(cls, error: AuditError) -> Self:
        """Return what to keep of an error."""
        return cls(type(error).__name__, str(error), error.field)


@dataclass(frozen=True)
class Audit:
    """A job that looks through a snapshot for natural triggers."""

    name: str
    """`audits/{audit}`"""
    snapshot: SnapshotFile
    parameters: AuditParameters
    seed: int
    create_time: datetime
    state: AuditState = AuditState.QUEUED
    progress: float = 0.0
    """In [0, 1]."""
    stage: str = "waits for a worker"
    failure: Failure | None = None
    end_time: datetime | None = None

    def at(self, progress: float, stage: str) -> Self:
        """Return it running, so far; as it is where it has ended."""
        if self.state.is_final:
            return self
        return replace(self, state=AuditState.RUNNING, progress=progress, stage=stage)

    def ended(
        self,
        state: AuditState,
        time: datetime,
        failure: Failure | None = None,
        stage: str | None = None,
    ) -> Self:
        """Return it ended; as it is where it had ended before, whatever the state."""
        if self.state.is_final:
            return self
        progress = 1.0 if state is AuditState.DONE else self.progress
        return replace(
            self,
            state=state,
            progress=progress,
            stage=stage or state.value.lower(),
            failure=failure,
            end_time=time,
        )


def audit_name(request_id: str) -> str:
    """Return the name of the audit that a request starts: the same for the same request."""
    return f"audits/A-{hashlib.sha256(request_id.encode()).hexdigest()[:16]}"
