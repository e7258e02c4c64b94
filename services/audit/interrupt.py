"""Ends what was under way when the service stopped."""

from dataclasses import dataclass
from datetime import UTC, datetime

from services.audit.domain.audit import Audit, AuditState
from services.audit.ports import AuditRepository

_PAGE = 100


@dataclass(frozen=True)
class Interrupt:
    """Marks audits that nobody carries out any more."""

    audits: AuditRepository

    async def __call__(self) -> int:
        """End every audit that waits or runs; return how many there were."""
        ended, after = 0, None
        while page := await self.audits.newest(after, _PAGE):
            for audit in page:
                if not audit.state.is_final:
                    await self.audits.change(audit.name, _interrupted)
                    ended += 1
            after = page[-1].name
        return ended


def _interrupted(audit: Audit) -> Audit:
    return audit.ended(AuditState.INTERRUPTED, datetime.now(UTC))
