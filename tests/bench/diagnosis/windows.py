"""The world cut into windows, as each model scores them and as the peers see them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clients.drill.world import World
from services.aggregator.adapters.packing import pack_summary, unpack_summary
from tests.bench.diagnosis import model as model_module
from tests.bench.diagnosis import scoring as scoring_module
from tests.bench.diagnosis.peers import psis
from tests.bench.diagnosis.scoring import Scoring, Seen
from tests.bench.diagnosis.views import Series, series_of

ROWS = 4000
WINDOWS = 11


@dataclass(frozen=True)
class Windows:
    """The first windows after training. Clean ones are kept on disk, by what computes them."""

    world: World
    scoring: Scoring
    seed: int
    cache: Path
    _series: dict[int, list[Series]] = field(default_factory=dict)
    _psis: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World, seed: int, cache: Path) -> "Windows":
        """Prepare a seed's model for the windows."""
        digest = hashlib.sha256()
        for source in (model_module, scoring_module):
            digest.update(Path(str(source.__file__)).read_bytes())
        folder = cache / f"bench-diagnosis-{digest.hexdigest()[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(world, Scoring.of(world, seed, folder), seed, folder)

    def table(self, number: int) -> pa.Table:
        """Return a window's examples as they were logged."""
        return self.world.examples.slice(self.world.train_rows + number * ROWS, ROWS)

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

    def psis_since_before(self, number: int) -> NDArray[np.float64]:
        """Return each feature's index from the clean window before to this one, [M]."""
        if number not in self._psis:
            series = self.series(number - 1), self.series(number)
            self._psis[number] = psis(self.world.schema, *series)
        return self._psis[number]

    def series_of(self, table: pa.Table) -> list[Series]:
        """Return a table's columns as the peers take them."""
        return [series_of(feature, table) for feature in self.world.schema.features]
