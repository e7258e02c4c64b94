"""The machine's clock."""

from datetime import UTC, datetime


class SystemClock:
    """Wall time as the machine tells it."""

    def now(self) -> datetime:
        """Return the time, UTC."""
        return datetime.now(UTC)
