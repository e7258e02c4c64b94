"""What is around an incident, from the aggregator's lineage."""

import logging
from collections.abc import Sequence
from datetime import UTC, timedelta

import aftershock
from aftershock import aio
from aftershock.v1.incident_pb2 import Incident
from clients.chatbot.core.evidence import culprits
from clients.chatbot.core.surroundings import (
    MOST_HAPPENINGS,
    NOTHING_AROUND,
    Happening,
    Surroundings,
)

_LOOKBACK = timedelta(days=1)
_DEPTH = 6
_MOST_KEPT = 1000
_KINDS = (
    "deploy",
    "pipeline-run",
    "failed-run",
    "schema-change",
    "checkpoint-publish",
    "lifecycle-change",
    "audit-finding",
)
"""Not what the runbook itself did."""
_log = logging.getLogger(__name__)


class SdkLineage:
    """Asks with the bot's own token (role `reader`).

    What was known once is kept as long as the process runs, so that a message does not lose a line
    while the aggregator is away.
    """

    def __init__(self, client: aio.Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Surroundings] = {}

    async def around(self, incident: Incident) -> Surroundings:
        """Return what happened upstream of the suspects within a day before the window's end."""
        suspects = culprits(incident)
        if not suspects:
            return NOTHING_AROUND
        key = (incident.name, incident.comparison.anomaly.name)
        if key not in self._known:
            try:
                happenings = await self._happenings(incident, [s.feature for s in suspects])
            except aftershock.ServiceError as error:
                _log.warning("no lineage of %s: %s", incident.name, error)
                return NOTHING_AROUND
            self._keep(key, Surroundings(tuple(happenings)))
        return self._known[key]

    async def _happenings(self, incident: Incident, features: Sequence[str]) -> list[Happening]:
        end = incident.comparison.anomaly.end_time.ToDatetime(UTC)
        listed = await self._client.events(
            [f"feature:{feature}" for feature in features],
            depth=_DEPTH,
            start=end - _LOOKBACK,
            end=end,
            kinds=_KINDS,
            limit=MOST_HAPPENINGS,
        )
        events = [each.event for each in listed]
        return [Happening(e.time.ToDatetime(UTC), e.node, e.summary, e.actor) for e in events]

    def _keep(self, key: tuple[str, str], surroundings: Surroundings) -> None:
        if len(self._known) >= _MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[key] = surroundings
