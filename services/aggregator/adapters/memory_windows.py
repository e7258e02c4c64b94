"""Windows in this process's memory: reading them, and moving them through their life."""

import time
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from services.aggregator.adapters.memory_records import MemoryRecords
from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.errors import WindowNotFound
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Window, window_name
from services.aggregator.ports import Work


@dataclass(frozen=True)
class MemoryWindows:
    """Implements WindowReader and SummaryReader."""

    records: MemoryRecords

    async def window(self, model: str, start: datetime) -> Window:
        """Return one window."""
        if self.records.known(model, start) is None:
            raise WindowNotFound(window_name(model, start))
        return self.records.view(model, start)

    async def windows(self, model: str, before: datetime | None, limit: int) -> Sequence[Window]:
        """Return the newest windows that start before `before`, newest first."""
        record = self.records.models.get(model)
        starts = sorted(record.windows if record else (), reverse=True)
        earlier = [start for start in starts if before is None or start < before]
        return [self.records.view(model, start) for start in earlier[:limit]]

    async def panes(self, window: Window) -> Sequence[Pane]:
        """Return the window's panes, folded or not."""
        record = self.records.known(window.model, window.interval.start)
        return [*record.folds, *record.panes.values()] if record else []

    async def summary(self, window: Window) -> Summary | None:
        """Return the window's summary, None if it has none yet."""
        record = self.records.known(window.model, window.interval.start)
        return record.summary if record else None

    async def marks(self, windows: Sequence[Window]) -> Sequence[bytes | None]:
        """Return checksums of the windows' importances, None where there is no summary."""
        found = await self.summaries(windows)
        return [None if each is None else _mark(each) for each in found]

    async def summaries(self, windows: Sequence[Window]) -> Sequence[Summary | None]:
        """Return the windows' summaries, None for what is missing."""
        return [await self.summary(window) for window in windows]

    async def sample(self, window: Window, populations: Collection[Population]) -> Sequence[bytes]:
        """Return the Arrow streams that were kept of the populations."""
        record = self.records.known(window.model, window.interval.start)
        kept = record.sample if record else []
        return [batch.arrow_stream for batch in kept if batch.population in populations]


@dataclass(frozen=True)
class MemoryKeeper:
    """Implements WindowKeeper. Each instance is a replica of its own."""

    records: MemoryRecords
    replica: str = field(default_factory=lambda: uuid4().hex)

    async def work(self, model: str) -> Work:
        """Return what is left to do for the model."""
        record = self.records.models.get(model)
        if record is None:
            return Work((), (), ())
        closable, evaluable = self.records.closable(record), self.records.evaluable(record)
        return Work(closable, evaluable, self._expired(model))

    async def acquire(self, model: str, lease: timedelta) -> bool:
        """Take or extend the lease on the model's work."""
        record, now = self.records.models[model], time.monotonic()
        if record.holder != self.replica and record.held_until > now:
            return False
        record.holder, record.held_until = self.replica, now + lease.total_seconds()
        return True

    async def release(self, model: str) -> None:
        """Give the lease back if it is ours."""
        record = self.records.models.get(model)
        if record is not None and record.holder == self.replica:
            record.held_until = 0.0

    async def close(self, window: Window, summary: Summary) -> bool:
        """Keep the summary and let the panes go."""
        record = self.records.known(window.model, window.interval.start)
        if record is None or record.summary is not None:
            return False
        record.summary = summary
        record.panes.clear()
        record.folds.clear()
        return True

    async def forget(self, model: str, start: datetime) -> None:
        """Delete all that is kept of a window."""
        record = self.records.models.get(model)
        if record is not None:
            record.windows.pop(start, None)

    def _expired(self, model: str) -> list[datetime]:
        record = self.records.models[model]
        retention = self.records.rules_of(record).retention
        if record.watermark is None:
            return []
        oldest = record.watermark - retention
        return sorted(s for s, window in record.windows.items() if window.interval.end <= oldest)


def _mark(summary: Summary) -> bytes:
    return zlib.crc32(summary.gfi.tobytes()).to_bytes(4, "little")
