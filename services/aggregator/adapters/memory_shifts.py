"""Events in this process's memory, for tests and dry runs."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from services.aggregator.adapters.memory_records import MemoryRecords
from services.aggregator.domain.errors import InvalidPosition
from services.aggregator.domain.shift import ShiftEvent
from services.aggregator.ports import OLDEST, PublishedEvent, Reading


@dataclass(frozen=True)
class MemoryShifts:
    """Implements ShiftPublisher and ShiftReader. A cursor counts the model's events up to its."""

    records: MemoryRecords

    async def publish(self, event: ShiftEvent) -> bool:
        """Append the event of a window; False if one was published for it before."""
        window = self.records.known(event.window.model, event.window.interval.start)
        if window is None or window.is_published:
            return False
        window.is_published = True
        events = self.records.models[event.window.model].events
        events.append(PublishedEvent(f"{len(events) + 1}-0", event))
        async with self.records.told:
            self.records.told.notify_all()
        return True

    async def read(
        self, models: Sequence[str], cursors: Mapping[str, str], wait: timedelta
    ) -> Reading:
        """Return events after each model's cursor, waiting at most `wait` for the first one."""
        positions = {model: _position(cursors.get(model, OLDEST), model) for model in models}
        told = self.records.told
        with suppress(TimeoutError):
            async with asyncio.timeout(wait.total_seconds()), told:
                await told.wait_for(lambda: self._after(positions).events)
        return self._after(positions)

    def _after(self, positions: Mapping[str, int]) -> Reading:
        found = {
            model: self.records.models[model].events[position:]
            for model, position in positions.items()
            if model in self.records.models
        }
        return Reading(
            events=[event for events in found.values() for event in events],
            cursors={model: events[-1].cursor for model, events in found.items() if events},
        )


def _position(cursor: str, model: str) -> int:
    number, _, rest = cursor.partition("-")
    if not (number.isdecimal() and rest.isdecimal()):
        raise InvalidPosition(
            f"{cursor!r} is not a cursor: pass back the one of the last event, or none",
            field=f"cursors[models/{model}]",
        )
    return int(number)
