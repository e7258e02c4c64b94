"""Which answers of a watch are news."""

from aftershock.v1.incident_pb2 import Incident


class IncidentNews:
    """Remembers incidents as last seen: a watch that reconnects is told them all again."""

    def __init__(self) -> None:
        self._seen: dict[str, Incident] = {}

    def is_news(self, incident: Incident) -> bool:
        """Whether the incident differs from what was seen last. Remembers it."""
        known = self._seen.get(incident.name)
        self._seen[incident.name] = incident
        return known != incident
