"""No lineage: where nobody registered any."""

from aftershock.v1.incident_pb2 import Incident
from clients.chatbot.core.surroundings import NOTHING_AROUND, Surroundings


class NoLineage:
    """Nothing is around an incident."""

    async def around(self, incident: Incident) -> Surroundings:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return NOTHING_AROUND
