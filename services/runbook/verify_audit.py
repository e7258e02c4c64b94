"""Whether the audit is what was written."""

from dataclasses import dataclass

from services.runbook.domain.audit import AuditReport, inspect
from services.runbook.ports import Anchors, Store


@dataclass(frozen=True)
class VerifyAudit:
    """Reads the whole audit, and changes nothing."""

    store: Store
    anchors: Anchors

    async def __call__(self) -> AuditReport:
        """Return what is wrong with it, if anything.

        Raises:
            StoreUnavailable: the audit cannot be read.
            AnchorsUnavailable: the anchors cannot be read.
        """
        # Before the audit: a record that is anchored after it was read is not missing.
        anchors = await self.anchors.read()
        return await self.store.read(lambda unit: inspect(unit.audit.records(), anchors))
