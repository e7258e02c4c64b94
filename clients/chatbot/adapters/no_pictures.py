"""No plots: for rooms that take none, and where no aggregator can be asked."""

from collections.abc import Sequence

from aftershock.v1.incident_pb2 import Incident
from clients.chatbot.core.card import Picture


class NoPictures:
    """An incident has no plots."""

    def names(self, incident: Incident) -> Sequence[str]:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return ()

    async def draw(self, incident: Incident, name: str) -> Picture | None:  # noqa: ARG002
        """Return nothing."""
        return None
