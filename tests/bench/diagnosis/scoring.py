"""From logged examples to what the aggregator keeps of their window, by the services' own code."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from clients.drill.export import Release, export_checkpoint
from clients.drill.world import World
from services.aggregator.adapters.incoming import block_of
from services.aggregator.adapters.packing import pack_summary, unpack_summary
from services.aggregator.domain.checkpoint import Feature, FeatureKind
from services.aggregator.domain.summary import Summary, summarise
from services.attribution.adapters.arrow_examples import decode
from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.grpc_messages import block_message
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.domain.block import Batch, LfiBlock, Population
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod, SparseLfi, attribute, joined
from services.attribution.domain.sketch import Sketcher
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import Limits
from services.attribution.ports import Scorer
from tests.bench.diagnosis.model import MODEL, train

_BLOCK_ROWS = 256
_RESAMPLES = 50
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Seen:
    """A window as both sides of the comparison see it.

    `relative_gfi` float64 [M]: equation 4 over LFIs of equation 2, which Captum computes.
    """

    summary: Summary
    relative_gfi: NDArray[np.float64]
    mean_prediction: float


@dataclass(frozen=True)
class Scoring:
    """One seed's model behind the attribution service's engine."""

    scorer: Scorer

    @classmethod
    def of(cls, world: World, seed: int, cache: Path) -> "Scoring":
        """Train the seed's model, or read it from the cache."""
        folder = cache / f"checkpoint-{seed}"
        if not (folder / "manifest.json").exists():
            until = world.timestamps[world.train_rows - 1].astype("datetime64[s]").astype(datetime)
            release = Release(MODEL, f"seed{seed}", until.replace(tzinfo=UTC))
            export_checkpoint(train(world, seed), world.schema, release, folder)
        programs = TorchPrograms(lambda p: compiled(p.program, p.checkpoint, Limits(workers=1)))
        torch.set_num_threads(1)
        return cls(FolderCheckpoints([cache], {".pt2": programs}).read(folder))

    @property
    def features(self) -> tuple[Feature, ...]:
        """The checkpoint's features as the aggregator knows them."""
        found = self.scorer.checkpoint.schema.columns
        return tuple(Feature(each.name, FeatureKind[each.kind.name]) for each in found)

    def __call__(self, table: pa.Table) -> Seen:
        """Attribute a window's examples and summarise what the aggregator would store."""
        examples = examples_of(self.scorer, table)
        lfi, relative = self._explained(examples)
        sketch = Sketcher(examples.schema)(examples).sketch(lfi.predictions)
        batch = Batch("window", Population.DISPLAYED, _NOON, b"")
        made = LfiBlock(batch, self.scorer.checkpoint, LfiMethod.PSEUDO_LOSS, lfi, sketch)
        block = block_of(block_message(made, with_examples=False))
        summary = summarise([block.pane], block.feature_count, "window", _RESAMPLES)
        return Seen(
            summary=unpack_summary(pack_summary(summary), "window"),
            relative_gfi=_gfi(relative),
            mean_prediction=float(lfi.predictions.mean(dtype=np.float64)),
        )

    def _explained(self, examples: Examples) -> tuple[SparseLfi, SparseLfi]:
        """Return LFIs by equation 1 and by equation 2, of one ablation."""
        threshold = self.scorer.checkpoint.threshold
        parts = [self.scorer.ablator.ablate(part) for part in _parts(examples)]
        pseudo_loss, relative = (
            joined([attribute(part, method, threshold) for part in parts]) for method in LfiMethod
        )
        return pseudo_loss, relative


def examples_of(scorer: Scorer, table: pa.Table) -> Examples:
    """Return logged examples as the scorer's program takes them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return decode(sink.getvalue().to_pybytes(), scorer.checkpoint.schema, "examples")


def _parts(examples: Examples) -> Iterator[Examples]:
    for start in range(0, examples.count, _BLOCK_ROWS):
        yield examples.part(start, start + _BLOCK_ROWS)


def _gfi(lfi: SparseLfi) -> NDArray[np.float64]:
    """Return equation 4, [M]."""
    count = len(lfi.predictions)
    columns = np.split(np.abs(lfi.values), lfi.offsets[1:-1].astype(np.intp))
    return np.array([len(c) / count * float(np.median(c)) if len(c) else 0.0 for c in columns])
