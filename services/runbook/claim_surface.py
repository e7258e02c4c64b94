"""A bot becomes the only one that brings an incident's message up to date."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.runbook.domain.surface import Surface
from services.runbook.ports import Clock, Store, UnitOfWork


@dataclass(frozen=True)
class ClaimSurface:
    """Claims a surface for a while, or extends the holder's own claim."""

    store: Store
    clock: Clock

    async def __call__(
        self, incident_id: str, surface_id: str, holder: str, lease: timedelta
    ) -> Surface:
        """Return the surface, held.

        Raises:
            IncidentNotFound: no such incident.
            SurfaceBusy: another one holds it.
        """
        time = self.clock.now()
        return await self.store.transact(
            lambda unit: _claim(unit, (incident_id, surface_id), holder, lease, time)
        )


def _claim(
    unit: UnitOfWork, of: tuple[str, str], holder: str, lease: timedelta, time: datetime
) -> Surface:
    incident = unit.incidents.get(of[0])
    claimed = unit.surfaces.get(incident.id, of[1]).claimed(holder, time, lease)
    unit.surfaces.save(claimed)
    return claimed
