"""What has yet to happen is refused: by a clock that runs ahead, lineage would be of the future."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.aggregator.domain.errors import AheadOfTime


@dataclass(frozen=True)
class Horizon:
    """How far ahead of the clock a time may lie."""

    furthest_ahead: timedelta
    now: Callable[[], datetime]

    def check(self, time: datetime, field: str) -> None:
        """Let the time through, which stands at `field` of the request.

        Raises:
            AheadOfTime: it lies further ahead.
        """
        if time > self.now() + self.furthest_ahead:
            raise AheadOfTime(
                f"{time.isoformat()} lies more than {self.furthest_ahead} ahead: is the sender's "
                "clock right?",
                field=field,
            )
