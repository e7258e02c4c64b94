"""Writes down, outside the database, how far the audit has come."""

from dataclasses import dataclass

from services.runbook.domain.audit import Anchor
from services.runbook.ports import Anchors, Clock, Store


@dataclass(frozen=True)
class AnchorAudit:
    """From then on, what the audit holds cannot be changed unnoticed."""

    store: Store
    anchors: Anchors
    clock: Clock

    async def __call__(self) -> None:
        """Anchor the newest record unless it is anchored.

        Raises:
            StoreUnavailable: the audit cannot be read.
            AnchorsUnavailable: the anchor cannot be kept.
        """
        newest = await self.store.read(lambda unit: unit.audit.newest())
        if newest is None:
            return
        last = await self.anchors.last()
        if last is None or (last.sequence, last.hash) != (newest.sequence, newest.hash):
            anchor = Anchor(newest.sequence, newest.hash, self.clock.now())
            await self.anchors.append(anchor)
