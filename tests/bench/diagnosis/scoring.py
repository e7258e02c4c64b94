"""From logged examples to what the aggregator keeps of their window, by the services' own code."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from clients.drill.movielens.world import World
from clients.drill.subjects import movielens_checkpoint
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
from services.attribution.domain.lfi import LfiMethod, SparseLfi, attribute
from services.attribution.domain.sketch import Sketcher
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import Limits
from services.attribution.ports import Scorer

_WORKERS = 2
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
        # On shared cores more threads are slower.
        torch.set_num_threads(1)
        folder = cache / f"checkpoint-{seed}"
        if not (folder / "manifest.json").exists():
            movielens_checkpoint(world, folder, seed=seed)
        programs = TorchPrograms(lambda p: compiled(p.program, p.checkpoint, Limits(_WORKERS)))
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
            relative_gfi=gfi(relative),
            mean_prediction=float(lfi.predictions.mean(dtype=np.float64)),
        )

    def _explained(self, examples: Examples) -> tuple[SparseLfi, SparseLfi]:
        """Return LFIs by equation 1 and by equation 2, of one ablation."""
        ablations = self.scorer.ablator.ablate(examples)
        threshold = self.scorer.checkpoint.threshold
        pseudo_loss, relative = (attribute(ablations, method, threshold) for method in LfiMethod)
        return pseudo_loss, relative


def examples_of(scorer: Scorer, table: pa.Table) -> Examples:
    """Return logged examples as the scorer's program takes them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return decode(sink.getvalue().to_pybytes(), scorer.checkpoint.schema, "examples")


def gfi(lfi: SparseLfi) -> NDArray[np.float64]:
    """Return equation 4, [M]."""
    count = len(lfi.predictions)
    columns = np.split(np.abs(lfi.values), lfi.offsets[1:-1].astype(np.intp))
    return np.array([len(c) / count * float(np.median(c)) if len(c) else 0.0 for c in columns])
