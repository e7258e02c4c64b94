"""Anchors that are also sent to a webhook's receiver, out of the reach of this machine."""

from collections.abc import Sequence

from services.runbook.adapters.standard_webhook import (
    StandardWebhook,
    WebhookRefused,
    WebhookUnavailable,
)
from services.runbook.domain.audit import Anchor
from services.runbook.domain.errors import AnchorsUnavailable
from services.runbook.ports import Anchors


class AnchorWebhook:
    """Sends each anchor, then keeps it where anchors are read from."""

    def __init__(self, endpoint: StandardWebhook, kept: Anchors) -> None:
        self._endpoint = endpoint
        self._kept = kept

    async def append(self, anchor: Anchor) -> None:
        """Send `audit.anchor`; what is not sent is not kept, and so sent again. Raises
        AnchorsUnavailable."""
        told = {"sequence": anchor.sequence, "hash": anchor.hash, "time": anchor.time.isoformat()}
        try:
            await self._endpoint.send(f"anchor/{anchor.sequence}", "audit.anchor", told)
        except (WebhookRefused, WebhookUnavailable) as error:
            raise AnchorsUnavailable(f"the anchor could not be sent: {error}") from error
        await self._kept.append(anchor)

    async def last(self) -> Anchor | None:
        """Return the anchor that was kept last. Raises AnchorsUnavailable."""
        return await self._kept.last()

    async def read(self) -> Sequence[Anchor]:
        """Return every anchor that was kept, oldest first. Raises AnchorsUnavailable."""
        return await self._kept.read()
