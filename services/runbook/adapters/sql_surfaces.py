"""Where incidents are shown, in SQL."""

from sqlmodel import Session

from services.runbook.adapters.sql_codec import Codec
from services.runbook.adapters.sql_incidents import number_of
from services.runbook.adapters.sql_tables import SurfaceRow
from services.runbook.domain.surface import Surface

_NAMES = Codec[tuple[str, ...]](tuple[str, ...])


class SqlSurfaces:
    """The surfaces of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, incident_id: str, surface_id: str) -> Surface:
        """Return a surface; version 0 if nobody ever claimed it."""
        row = self._session.get(SurfaceRow, (number_of(incident_id), surface_id))
        if row is None:
            return Surface(incident=incident_id, id=surface_id)
        return Surface(
            incident=incident_id,
            id=surface_id,
            message=row.message,
            shown=row.shown,
            told_count=row.told_count,
            attachments=_NAMES.load(row.attachments),
            holder=row.holder,
            lease_expire_time=row.lease_expire_time,
            interrupted=row.interrupted,
            version=row.version,
        )

    def save(self, surface: Surface) -> None:
        """Write it as it is now."""
        number = number_of(surface.incident)
        row = SurfaceRow(
            incident=number,
            id=surface.id,
            message=surface.message,
            shown=surface.shown,
            told_count=surface.told_count,
            attachments=_NAMES.dump(surface.attachments),
            holder=surface.holder,
            lease_expire_time=surface.lease_expire_time,
            interrupted=surface.interrupted,
            version=surface.version,
        )
        self._session.merge(row)
        self._session.flush()
