"""Where an incident is shown in one chat room, and who brings that up to date."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.runbook.domain.errors import SurfaceBusy, SurfaceChanged


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What a bot needs to know of its message, kept here so that the bot keeps nothing."""

    incident: str
    """Id of the incident."""
    id: str
    """Names the room, for all incidents alike."""
    message: str = ""
    """The message, as its chat system names it. Empty: none is known to be posted."""
    shown: str = ""
    """Digest of what the message shows."""
    told_count: int = 0
    """Entries of the timeline that its thread has."""
    attachments: tuple[str, ...] = ()
    """What else its thread has."""
    holder: str = ""
    """Who brings it up to date. Empty: nobody."""
    lease_expire_time: datetime | None = None
    """When another one may claim it."""
    interrupted: bool = False
    """Who claimed it before did not release it."""
    version: int = 0
    """Grows with each change."""

    @property
    def name(self) -> str:
        """`incidents/{incident}/surfaces/{surface}`"""
        return f"incidents/{self.incident}/surfaces/{self.id}"

    def claimed(self, holder: str, time: datetime, lease: timedelta) -> "Surface":
        """Return it held from now on. Raises SurfaceBusy while another one holds it."""
        expires = self.lease_expire_time
        if self.holder not in {"", holder} and expires is not None and time < expires:
            raise SurfaceBusy(
                f"{self.name} is held by {self.holder} until {expires:%H:%M:%S} UTC",
                retry_after=(expires - time).total_seconds(),
            )
        return replace(
            self,
            holder=holder,
            lease_expire_time=time + lease,
            interrupted=self.interrupted or self.holder != "",
            version=self.version + 1,
        )

    def recorded(self, after: "Surface", *, release: bool) -> "Surface":
        """Return it with what `after` says of the message.

        Raises:
            SurfaceChanged: `after` was made from another version, or by who does not hold it.
        """
        if (after.version, after.holder) != (self.version, self.holder) or not self.holder:
            raise SurfaceChanged(
                f"{self.name} was claimed or recorded since: claim it and look again", field="etag"
            )
        return replace(
            after,
            lease_expire_time=None if release else self.lease_expire_time,
            holder="" if release else self.holder,
            interrupted=self.interrupted and not release,
            version=self.version + 1,
        )
