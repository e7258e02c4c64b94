"""What the memory adapters share: models and windows as this process knows them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from services.aggregator.domain.block import Method, Pane, Population
from services.aggregator.domain.calibration import HealthyBand, calibrate
from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.latest import PaneEntry
from services.aggregator.domain.sampling import KeptBatch
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Interval, ModelRules, Window, WindowRules, WindowState
from services.aggregator.ports import PublishedEvent


@dataclass
class WindowRecord:
    """One window and how far it has come."""

    interval: Interval
    digest: str = ""
    method: Method | None = None
    panes: dict[str, Pane] = field(default_factory=dict)
    """By block, without those that were folded."""
    folds: list[Pane] = field(default_factory=list)
    folded_count: int = 0
    """Blocks that were folded."""
    counts: Counter[Population] = field(default_factory=Counter)
    blocks: set[str] = field(default_factory=set)
    reports: set[str] = field(default_factory=set)
    expected: float = 0.0
    observed: int = 0
    summary: Summary | None = None
    is_published: bool = False
    sample: list[KeptBatch] = field(default_factory=list)


@dataclass(frozen=True)
class PaneRecord:
    """A pane on its way through the latest window."""

    entry: PaneEntry
    scored: tuple[str, Method]
    """By which checkpoint, its digest, and by which method."""
    pane: Pane


@dataclass
class ModelRecord:
    """One model, its checkpoints by digest and its windows by start."""

    digest: str
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    windows: dict[datetime, WindowRecord] = field(default_factory=dict)
    watermark: datetime | None = None
    outcomes_until: datetime | None = None
    latest_event: datetime | None = None
    blocks: int = 0
    duplicates: int = 0
    refused: int = 0
    holder: str = ""
    """The replica at work on it."""
    held_until: float = 0.0
    """On the monotonic clock."""
    events: list[PublishedEvent] = field(default_factory=list)
    entered: list[PaneRecord] = field(default_factory=list)
    """All that ever entered the latest window."""
    waiting: list[PaneRecord] = field(default_factory=list)
    """Those that enter at its next step."""
    step: int = 0
    own_rules: ModelRules = field(default_factory=ModelRules)


@dataclass
class MemoryRecords:
    """All models by id, and the rules of their windows."""

    rules: WindowRules
    band: HealthyBand
    models: dict[str, ModelRecord] = field(default_factory=dict)
    told: asyncio.Condition = field(default_factory=asyncio.Condition)
    """Notified when an event is published."""

    def known(self, model: str, start: datetime) -> WindowRecord | None:
        """Return the record of a window, None if there is none."""
        record = self.models.get(model)
        return record.windows.get(start) if record else None

    def rules_of(self, record: ModelRecord) -> WindowRules:
        """Return the rules that hold for a model."""
        return self.rules.of(record.own_rules)

    def view(self, model: str, start: datetime) -> Window:
        """Return a window as the domain sees it."""
        record, window = self.models[model], self.models[model].windows[start]
        is_past = self.rules_of(record).is_past(window.interval.end, record.watermark)
        is_closed = window.summary is not None or is_past
        return Window(
            model=model,
            interval=window.interval,
            state=WindowState.CLOSED if is_closed else WindowState.OPEN,
            digest=window.digest,
            method=window.method,
            considered_count=window.counts[Population.CONSIDERED],
            displayed_count=window.counts[Population.DISPLAYED],
            calibration=calibrate(window.expected, window.observed, self.band),
        )

    def closable(self, record: ModelRecord) -> list[datetime]:
        """Return the windows without a summary that event time has passed."""
        rules, watermark = self.rules_of(record), record.watermark
        return sorted(
            start
            for start, window in record.windows.items()
            if window.summary is None and rules.is_past(window.interval.end, watermark)
        )

    def evaluable(self, record: ModelRecord) -> list[datetime]:
        """Return the closed windows whose outcomes are all in and of which no event has told."""
        until = record.outcomes_until
        return sorted(
            start
            for start, window in record.windows.items()
            if window.summary is not None
            and window.reports
            and not window.is_published
            and until is not None
            and until >= window.interval.end
        )
