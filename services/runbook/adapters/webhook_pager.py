"""Calls by a signed webhook, for whatever wakes people up."""

from services.runbook.adapters.standard_webhook import (
    StandardWebhook,
    WebhookRefused,
    WebhookUnavailable,
)
from services.runbook.domain.errors import PagerUnavailable
from services.runbook.domain.work import Call


class WebhookPager:
    """Sends `incident.call` messages."""

    def __init__(self, endpoint: StandardWebhook) -> None:
        self._endpoint = endpoint

    async def page(self, call: Call, model: str) -> None:
        """Send the call. Raises PagerUnavailable."""
        told = {
            "subject": call.subject,
            "model": model.removeprefix("models/"),
            "to": call.to,
            "message": call.message,
        }
        try:
            await self._endpoint.send(call.key, "incident.call", told)
        except (WebhookRefused, WebhookUnavailable) as error:
            raise PagerUnavailable(str(error)) from error
