"""Small models, blocks and stores for the aggregator's tests."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.aggregator.adapters.memory_folds import MemoryFolds
from services.aggregator.adapters.memory_intake import MemoryCheckpoints, MemoryIntake
from services.aggregator.adapters.memory_latest import MemoryLatest
from services.aggregator.adapters.memory_records import MemoryRecords
from services.aggregator.adapters.memory_shifts import MemoryShifts
from services.aggregator.adapters.memory_windows import MemoryKeeper, MemoryWindows
from services.aggregator.close import Close
from services.aggregator.compare import Compare
from services.aggregator.detect import Detect
from services.aggregator.domain.alarm import EvidenceAlarm
from services.aggregator.domain.block import Block, Method, Population
from services.aggregator.domain.calibration import Confirmation, HealthyBand
from services.aggregator.domain.checkpoint import Checkpoint, Feature, FeatureKind
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.latest import LatestRules
from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.shelf import Shelf
from services.aggregator.domain.shift import ShiftEvent
from services.aggregator.domain.window import Interval, WindowRules
from services.aggregator.find import Find
from services.aggregator.fold import Fold
from services.aggregator.follow import Follow
from services.aggregator.ingest import Ingest
from services.aggregator.measure import Measure
from services.aggregator.recall import Recall
from services.aggregator.report_outcomes import ReportOutcomes
from services.aggregator.sweep import Sweep
from tests.unit.services.aggregator.stores import Store

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULES = WindowRules(
    length=HOUR,
    allowed_lateness=timedelta(0),
    retention=timedelta(days=8),
    furthest_ahead=timedelta(days=1),
)
LATEST_RULES = LatestRules(examples=4000, step_examples=100)
LEASE = timedelta(seconds=0.5)
BAND = HealthyBand(0.92, 1.08)
MODEL = "ads_ctr"
DIGEST = "ab" * 32


def checkpoint(
    features: int = 3, digest: str = DIGEST, trained_until: datetime = NOON - timedelta(days=9)
) -> Checkpoint:
    """A checkpoint with so many features f0, f1, ..."""
    return Checkpoint(
        model=MODEL,
        version=digest[:8],
        digest=digest,
        trained_until=trained_until,
        features=tuple(Feature(f"f{j}", FeatureKind.NUMERIC) for j in range(features)),
    )


def block(
    dense: NDArray[np.float32],
    block_id: str = "b1",
    *,
    event_time: datetime = NOON,
    population: Population = Population.CONSIDERED,
    digest: str = DIGEST,
    method: Method = Method.PSEUDO_LOSS,
    arrow_stream: bytes = b"",
    model: str = MODEL,
) -> Block:
    """The block of a dense matrix of LFIs, float32 [N, M]."""
    columns = [np.flatnonzero(column) for column in dense.T]
    values = [column[rows] for column, rows in zip(dense.T, columns, strict=True)]
    return Block(
        block_id=block_id,
        model=model,
        digest=digest,
        method=method,
        population=population,
        event_time=event_time,
        example_count=len(dense),
        offsets=np.cumsum([0, *map(len, columns)]).astype(np.uint32),
        indices=np.concatenate(columns).astype(np.uint32),
        values=np.concatenate(values).astype(np.float32),
        predictions=np.full(len(dense), 0.5, dtype=np.float32),
        arrow_stream=arrow_stream,
    )


def lfis(
    seed: int,
    examples: int = 1000,
    scales: Sequence[float] = (1.0, 0.5, 0.1),
    coverage: float = 0.8,
) -> NDArray[np.float32]:
    """Random LFIs, float32 [examples, features]: normal with these scales, the rest zero."""
    rng = np.random.default_rng(seed)
    shape = examples, len(scales)
    present = rng.random(shape) < coverage
    return np.asarray(rng.standard_normal(shape) * np.asarray(scales) * present, dtype=np.float32)


def report(
    start: datetime,
    expected: float = 1000.0,
    observed: int = 1000,
    request_id: str = "r1",
    length: timedelta = HOUR,
) -> OutcomeReport:
    """Outcomes of the stretch from `start` on."""
    return OutcomeReport(MODEL, request_id, Interval(start, start + length), expected, observed)


def read(made: Block) -> Callable[[], Block]:
    """What ingest calls for a block."""
    return lambda: made


def hour_of(time: datetime) -> Interval:
    """The window that `time` falls into."""
    return RULES.containing(time)


@dataclass(frozen=True)
class Aggregator:
    """The use cases over a store, as `__main__` wires them."""

    store: Store
    clock: datetime = NOON + timedelta(days=30)
    selection: ControlSelection = ControlSelection.SAME_HOUR_PREVIOUS_DAY
    confirming_windows: int = 1
    fold_examples: int = 100_000
    shelf: Shelf[Any] = field(default_factory=lambda: Shelf(1 << 30))
    woken: list[str] = field(default_factory=list)

    @property
    def recall(self) -> Recall:
        return Recall(self.store.windows, self.shelf)

    @property
    def ingest(self) -> Ingest:
        return Ingest(
            self.store.checkpoints, self.store.intake, RULES, self._now, self.woken.append
        )

    @property
    def report_outcomes(self) -> ReportOutcomes:
        return ReportOutcomes(
            self.store.intake, self.store.windows, RULES, self._now, self.woken.append
        )

    @property
    def measure(self) -> Measure:
        return Measure(self.store.windows, resamples=100)

    @property
    def find(self) -> Find:
        return Find(self.store.windows, Follow(self.store.latest, RULES, 100, most_models=2))

    @property
    def compare(self) -> Compare:
        return Compare(
            self.store.checkpoints,
            self.store.windows,
            self.measure,
            self.recall,
            fewest_examples=500,
            history_windows=72,
        )

    def sweep(self, replica: str = "a") -> Sweep:
        keeper = self.store.keeper(replica)
        windows = self.store.windows
        close = Close(windows, keeper, self.measure)
        detect = Detect(
            windows,
            self.compare,
            self.store.shifts,
            self.selection,
            Confirmation(self.confirming_windows, BAND),
            EvidenceAlarm(false_alarms_per_week=1.0),
            top_k=2,
            clock=self._now,
        )
        fold = Fold(self.store.folds, self.fold_examples)
        return Sweep(keeper, fold, close, detect, LEASE)

    async def store_hour(
        self, start: datetime, seed: int, observed: int = 1000, **changes: Any
    ) -> None:
        """Ingest both populations of one window and report its outcomes, 1,000 expected."""
        digest = changes.pop("digest", DIGEST)
        for population in Population:
            made = block(
                lfis(seed * 2 + (population is Population.DISPLAYED), **changes),
                f"{start.isoformat()}-{population.value}",
                event_time=start,
                population=population,
                digest=digest,
            )
            await self.ingest(MODEL, read(made))
        await self.report_outcomes(report(start, observed=observed, request_id=start.isoformat()))

    async def events(self) -> Sequence[ShiftEvent]:
        """All events of the model."""
        reading = await self.store.shifts.read([MODEL], {}, timedelta(milliseconds=1))
        return [published.event for published in reading.events]

    def _now(self) -> datetime:
        return self.clock


@dataclass(frozen=True)
class MemoryStore:
    """All of the memory adapters over the same records."""

    records: MemoryRecords = field(default_factory=lambda: MemoryRecords(RULES, BAND))
    latest_rules: LatestRules = LATEST_RULES

    @property
    def checkpoints(self) -> MemoryCheckpoints:
        return MemoryCheckpoints(self.records)

    @property
    def intake(self) -> MemoryIntake:
        return MemoryIntake(self.records, most_sampled=2000, latest=self.latest_rules)

    @property
    def latest(self) -> MemoryLatest:
        return MemoryLatest(self.records, self.latest_rules)

    @property
    def folds(self) -> MemoryFolds:
        return MemoryFolds(self.records)

    @property
    def windows(self) -> MemoryWindows:
        return MemoryWindows(self.records)

    @property
    def shifts(self) -> MemoryShifts:
        return MemoryShifts(self.records)

    def keeper(self, replica: str) -> MemoryKeeper:
        return MemoryKeeper(self.records, replica)


def hours(count: int, until: datetime = NOON) -> Iterator[datetime]:
    """The starts of the `count` hours before `until`, oldest first."""
    return (until - n * HOUR for n in range(count, 0, -1))
