"""Whoever watches hears of every closed window with known outcomes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.aggregator.ports import ModelDirectory, PublishedEvent, ShiftReader

_WAIT = timedelta(seconds=1)


@dataclass(frozen=True)
class Watch:
    """Follows the streams of one model or of all, those to come included."""

    directory: ModelDirectory
    shifts: ShiftReader

    async def __call__(
        self, model: str | None, cursors: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PublishedEvent]]:
        """Yield the events after the cursors as they come, at least every second, none if need be.

        Raises:
            InvalidPosition: a cursor is not one of its stream's.
        """
        reached = dict(cursors)
        while True:
            models = [model] if model else await self.directory.models()
            reading = await self.shifts.read(models, reached, _WAIT)
            reached.update(reading.cursors)
            yield reading.events
