"""How a model's earlier incidents ended."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.runbook.domain.incident import Incident
from services.runbook.domain.mitigation import MitigationState

EARLIER_INCIDENTS = 20
"""How many of the newest count."""


@dataclass(frozen=True)
class TrackRecord:
    """Counts over the newest incidents before the one that is looked at."""

    incidents: int = 0
    """That are closed."""
    false_alarms: int = 0
    """Closed without a mitigation that was ever effective: it healed by itself, or was nothing."""
    rejections: int = 0
    """Proposals that an expert rejected."""


def track_record(earlier: Iterable[Incident]) -> TrackRecord:
    """Return how those of the incidents ended that are closed."""
    closed = [incident for incident in earlier if not incident.is_open]
    return TrackRecord(
        incidents=len(closed),
        false_alarms=sum(not _mended(incident) for incident in closed),
        rejections=sum(
            mitigation.state is MitigationState.REJECTED
            for incident in closed
            for mitigation in incident.mitigations
        ),
    )


def _mended(incident: Incident) -> bool:
    return any(m.passage(MitigationState.EFFECTIVE) for m in incident.mitigations)
