"""What happened to incidents and models is told to whoever keeps the timeline."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.audit import AuditRecord
from services.runbook.domain.errors import IncidentNotFound
from services.runbook.domain.happening import Happening, happening_of
from services.runbook.ports import Store, Timeline, UnitOfWork

_AT_ONCE = 10
"""Records in one look: each reads its incident, and what an expert decided waits meanwhile."""
_INCIDENTS = "incidents/"


@dataclass(frozen=True)
class Tell:
    """Goes through the audit and tells of what others want to know.

    Nothing is lost by a death in between: what was told is told again, and counts once.
    """

    store: Store
    timeline: Timeline

    async def __call__(self, after: int, since: datetime) -> int:
        """Tell what was recorded after a place in the audit; return how far it has come.

        Args:
            after: the audit record that was looked at last; 0 for none.
            since: what happened before is not told.

        Raises:
            StoreUnavailable: the audit cannot be read.
            TimelineUnavailable: tell again, from the same place on.
        """
        while True:
            found = await self.store.read(lambda unit: _look(unit, after, since))  # noqa: B023
            for sequence, happening in found:
                if happening is not None:
                    await self.timeline.record(happening)
                after = sequence
            if len(found) < _AT_ONCE:
                return after


def _look(unit: UnitOfWork, after: int, since: datetime) -> list[tuple[int, Happening | None]]:
    records = unit.audit.after(after, since, _AT_ONCE)
    return [(record.sequence, _told(unit, record)) for record in records]


def _told(unit: UnitOfWork, record: AuditRecord) -> Happening | None:
    if not record.subject.startswith(_INCIDENTS):
        return None
    incident_id = record.subject.removeprefix(_INCIDENTS).partition("/")[0]
    try:
        return happening_of(unit.incidents.get(incident_id), record)
    except IncidentNotFound:
        return None
