"""Stops an audit."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.audit.domain.audit import Audit, AuditState
from services.audit.ports import AuditRepository, Queue


@dataclass(frozen=True)
class Cancel:
    """Ends an audit that waits or runs."""

    audits: AuditRepository
    queue: Queue

    async def __call__(self, name: str) -> Audit:
        """Return it cancelled, or as it had ended before.

        Raises:
            AuditNotFound: there is none of that name.
        """
        now = datetime.now(UTC)
        audit = await self.audits.change(name, lambda it: it.ended(AuditState.CANCELLED, now))
        self.queue.cancel(name)
        return audit
