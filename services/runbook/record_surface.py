"""A bot says where an incident's message is and what it shows."""

from dataclasses import dataclass

from services.runbook.domain.surface import Surface
from services.runbook.ports import Store, UnitOfWork


@dataclass(frozen=True)
class RecordSurface:
    """Keeps a surface as its holder says it is, if nobody changed it since."""

    store: Store

    async def __call__(self, after: Surface, *, release: bool) -> Surface:
        """Return the surface as it is kept.

        Raises:
            SurfaceChanged: somebody has claimed or recorded it since.
        """
        return await self.store.transact(lambda unit: _record(unit, after, release))


def _record(unit: UnitOfWork, after: Surface, release: bool) -> Surface:
    recorded = unit.surfaces.get(after.incident, after.id).recorded(after, release=release)
    unit.surfaces.save(recorded)
    return recorded
