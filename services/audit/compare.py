"""Says what appeared between two audits."""

from dataclasses import dataclass

from services.audit.domain.difference import Difference, difference
from services.audit.ports import AuditRepository


@dataclass(frozen=True)
class Compare:
    """Compares the reports of two audits."""

    audits: AuditRepository

    async def __call__(self, before: str, after: str) -> Difference:
        """Return what changed from one to the other.

        Raises:
            AuditNotFound: one does not exist.
            AuditNotDone: one has no report.
        """
        return difference(await self.audits.report(before), await self.audits.report(after))
