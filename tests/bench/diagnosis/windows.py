"""The world cut into windows, as each model scores them and as the peers see them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clients.drill.movielens.world import World
from clients.drill.series import Series, series_of
from services.aggregator.adapters.packing import pack_summary, unpack_summary
from tests.bench.diagnosis.peers import INDICES
from tests.bench.diagnosis.scoring import Scoring, Seen

ROWS = 4000
WINDOWS = 11
_ROOT = Path(__file__).parents[3]
_MODEL_SOURCES = (
    "clients/drill/encoding.py",
    "clients/drill/export.py",
    "clients/drill/model.py",
    "clients/drill/plain_model.py",
    "clients/drill/training.py",
)
_SCORING_SOURCES = (
    "services/attribution/domain",
    "services/attribution/engine",
    "services/aggregator/adapters/packing.py",
    "services/aggregator/adapters/packed_sketches.py",
    "services/aggregator/domain/gfi.py",
    "services/aggregator/domain/profile.py",
    "services/aggregator/domain/summary.py",
    "tests/bench/diagnosis/scoring.py",
)


@dataclass(frozen=True)
class Windows:
    """The first windows after training. Models and clean windows are kept on disk.

    They are kept under digests of the code that computes them.
    """

    world: World
    scoring: Scoring
    seed: int
    cache: Path
    _series: dict[int, list[Series]] = field(default_factory=dict)
    _changes: dict[tuple[str, int], NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World, seed: int, cache: Path) -> "Windows":
        """Prepare a seed's model for the windows."""
        models = cache / f"bench-diagnosis-{_digest(_MODEL_SOURCES)}"
        folder = models / _digest(_SCORING_SOURCES)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(world, Scoring.of(world, seed, models), seed, folder)

    def table(self, number: int, rows: int = ROWS) -> pa.Table:
        """Return a window's first examples as they were logged."""
        return self.world.examples.slice(self.world.train_rows + number * ROWS, rows)

    def clean(self, number: int) -> Seen:
        """Return what is seen of a window in which nothing broke."""
        summary = self.cache / f"summary-{self.seed}-{number}"
        rest = self.cache / f"rest-{self.seed}-{number}.npy"
        if not rest.exists():
            seen = self.scoring(self.table(number))
            summary.write_bytes(pack_summary(seen.summary))
            np.save(rest, np.append(seen.relative_gfi, seen.mean_prediction))
        numbers = np.load(rest, allow_pickle=False)
        kept = unpack_summary(summary.read_bytes(), summary.name)
        return Seen(kept, numbers[:-1], float(numbers[-1]))

    def series(self, number: int) -> list[Series]:
        """Return a clean window's columns as the peers take them."""
        if number not in self._series:
            self._series[number] = self.series_of(self.table(number))
        return self._series[number]

    def since_before(self, index: str, number: int) -> NDArray[np.float64]:
        """Return a peer's index from the clean window before to this one, of each feature, [M]."""
        if (index, number) not in self._changes:
            series = self.series(number - 1), self.series(number)
            self._changes[index, number] = INDICES[index](self.world.schema, *series)
        return self._changes[index, number]

    def series_of(self, table: pa.Table) -> list[Series]:
        """Return a table's columns as the peers take them."""
        return [series_of(feature, table) for feature in self.world.schema.features]


def _digest(sources: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        path = _ROOT / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
