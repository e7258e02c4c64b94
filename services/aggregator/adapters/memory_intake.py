"""Checkpoints, blocks and outcomes into this process's memory, for tests and dry runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.aggregator.adapters.memory_latest import slide
from services.aggregator.adapters.memory_records import (
    MemoryRecords,
    ModelRecord,
    PaneRecord,
    WindowRecord,
)
from services.aggregator.domain.block import Block
from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.errors import (
    CheckpointMismatch,
    CheckpointNotFound,
    ModelNotFound,
    WindowClosed,
    WindowNotFound,
)
from services.aggregator.domain.latest import LatestRules, PaneEntry
from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.sampling import KeptBatch, priority_of, trim
from services.aggregator.domain.window import (
    Interval,
    ModelRules,
    ModelState,
    window_id,
    window_name,
)
from services.aggregator.ports import Stored


@dataclass(frozen=True)
class MemoryCheckpoints:
    """Implements CheckpointStore and ModelDirectory."""

    records: MemoryRecords

    async def register(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint and make it the model's latest."""
        new = ModelRecord(checkpoint.digest)
        record = self.records.models.setdefault(checkpoint.model, new)
        known = record.checkpoints.setdefault(checkpoint.digest, checkpoint)
        if known != checkpoint:
            raise CheckpointMismatch.of_digest(known.name)
        record.digest = checkpoint.digest

    async def find(self, model: str, digest: str) -> Checkpoint:
        """Return the checkpoint."""
        record = self.records.models.get(model)
        if record is None or digest not in record.checkpoints:
            raise CheckpointNotFound(model, digest)
        return record.checkpoints[digest]

    async def models(self) -> Sequence[str]:
        """Return the names of all models, sorted."""
        return sorted(self.records.models)

    async def model(self, model: str) -> ModelState:
        """Return the state of one."""
        record = self.records.models.get(model)
        if record is None:
            raise ModelNotFound(model)
        return ModelState(
            model=model,
            digest=record.digest,
            watermark=record.watermark,
            latest_event_time=record.latest_event,
            block_count=record.blocks,
            duplicate_count=record.duplicates,
            refused_count=record.refused,
            rules=record.own_rules,
        )

    async def set_rules(self, model: str, rules: ModelRules) -> None:
        """Give the model rules of its own."""
        if model not in self.records.models:
            raise ModelNotFound(model)
        self.records.models[model].own_rules = rules


@dataclass(frozen=True)
class MemoryIntake:
    """Implements Intake."""

    records: MemoryRecords
    most_sampled: int
    """Examples kept of a window; 0 keeps none."""
    latest: LatestRules

    async def append(self, block: Block, window: Interval) -> Stored:
        """Put a block into its window, once, and advance the watermark."""
        record = self.records.models.get(block.model)
        if record is None or block.digest not in record.checkpoints:
            raise CheckpointNotFound(block.model, block.digest)
        kept = record.windows.get(window.start, WindowRecord(window))
        if block.block_id in kept.blocks:
            record.duplicates += 1
            return self._stored(record, duplicate=True)
        try:
            self._admit(record, kept, block)
        except (CheckpointMismatch, WindowClosed):
            record.refused += 1
            raise
        record.windows[window.start] = kept
        self._add(kept, block)
        slide(record, _pane_record(block, window), self.latest)
        record.blocks += 1
        record.latest_event = _later(record.latest_event, block.event_time)
        record.watermark = _later(record.watermark, block.event_time)
        return self._stored(record, duplicate=False)

    async def report(self, report: OutcomeReport, window: Interval) -> Stored:
        """Add the counts to their window, once, and advance the watermark."""
        record = self.records.models.get(report.model)
        if record is None:
            raise ModelNotFound(report.model)
        kept = record.windows.get(window.start, WindowRecord(window))
        if report.request_id in kept.reports:
            return self._stored(record, duplicate=True)
        expiry = window.end + self.records.rules_of(record).retention
        if record.watermark is not None and record.watermark >= expiry:
            raise WindowNotFound(window_name(report.model, window.start))
        record.windows[window.start] = kept
        kept.reports.add(report.request_id)
        kept.expected += report.expected
        kept.observed += report.observed
        record.watermark = _later(record.watermark, report.interval.end)
        record.outcomes_until = _later(record.outcomes_until, report.interval.end)
        return self._stored(record, duplicate=False)

    async def refuse(self, model: str) -> None:
        """Count a block that was refused before it came here."""
        if model in self.records.models:
            self.records.models[model].refused += 1

    def _admit(self, record: ModelRecord, kept: WindowRecord, block: Block) -> None:
        name = window_name(block.model, kept.interval.start)
        if kept.method is not None and (kept.digest, kept.method) != (block.digest, block.method):
            raise CheckpointMismatch.within(name, kept.digest, kept.method.value)
        is_past = self.records.rules_of(record).is_past(kept.interval.end, record.watermark)
        if kept.summary is not None or is_past:
            raise WindowClosed(name)

    def _add(self, kept: WindowRecord, block: Block) -> None:
        kept.blocks.add(block.block_id)
        kept.panes[block.block_id] = block.pane
        kept.digest, kept.method = block.digest, block.method
        kept.counts[block.population] += block.example_count
        if block.arrow_stream and self.most_sampled:
            batch = KeptBatch(
                priority_of(block.block_id),
                block.population,
                block.example_count,
                block.arrow_stream,
            )
            kept.sample = trim([*kept.sample, batch], self.most_sampled)

    def _stored(self, record: ModelRecord, *, duplicate: bool) -> Stored:
        has_work = bool(self.records.closable(record) or self.records.evaluable(record))
        return Stored(duplicate, has_work)


def _pane_record(block: Block, window: Interval) -> PaneRecord:
    name = f"{window_id(window.start)}:{block.block_id}"
    entry = PaneEntry(block.event_time, name, block.example_count)
    return PaneRecord(entry, (block.digest, block.method), block.pane)


def _later(known: datetime | None, time: datetime) -> datetime:
    return time if known is None else max(known, time)
