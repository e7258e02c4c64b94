"""Anchors the audit again and again."""

import asyncio
import logging
from dataclasses import dataclass

from services.runbook.anchor_audit import AnchorAudit
from services.runbook.domain.errors import RunbookError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Anchorer:
    """The clock behind `anchor_audit`."""

    anchor_audit: AnchorAudit
    seconds: float

    async def run(self) -> None:
        """Anchor until cancelled."""
        while True:
            try:
                await self.anchor_audit()
            except RunbookError as error:
                _log.warning("could not anchor the audit: %s", error)
            await asyncio.sleep(self.seconds)
