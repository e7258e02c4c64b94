"""Trains the click model on the beginning of the world, and exports it as a checkpoint.

While it trains, every feature of every example is now and then served at its baseline. That
makes the baseline what DESIGN calls it, the default that the model saw for missing values, and
keeps the model calibrated when a feature is switched off.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from clients.drill.encoding import Encoder
from clients.drill.export import Release, export_checkpoint
from clients.drill.model import ClickModel
from clients.drill.movielens.world import World
from clients.drill.progress import Progressing, silent
from clients.drill.schema import FeatureKind, Schema, inputs_of

MODEL = "movielens_like"
BATCH = 256
PEAK_LEARNING_RATE = 4e-3
ABSENT_SHARE = 0.1
RECALIBRATION_ROWS = 10_000
REPORT_EVERY = 16

Inputs = tuple[Tensor, ...]

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Absences:
    """Replaces features by their baselines at random: `share` of each feature's examples."""

    schema: Schema
    baseline: Inputs
    share: float
    generator: torch.Generator

    def __call__(self, inputs: Inputs) -> Inputs:
        """inputs: the program's tensors of one batch; answers new ones of the same shapes."""
        dense, categories, *own = inputs
        lost = [self._lose(dense, self.baseline[0]), self._lose(categories, self.baseline[1])]
        rest = iter(own)
        for feature in self.schema.features:
            if feature.kind in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL):
                continue
            absent = self._draw(len(dense), 1)
            lost += [next(rest).masked_fill(absent, 0) for _ in inputs_of(feature)]
        return tuple(lost)

    def _lose(self, packed: Tensor, baseline: Tensor) -> Tensor:
        return torch.where(self._draw(*packed.shape), baseline, packed)

    def _draw(self, rows: int, columns: int) -> Tensor:
        return torch.rand(rows, columns, generator=self.generator) < self.share


def train_checkpoint(
    world: World,
    folder: Path,
    seed: int = 0,
    progress: Progressing | None = None,
    trained_until: datetime | None = None,
) -> Path:
    """Trains on the world's first `train_rows` examples and writes a checkpoint to `folder`.

    `trained_until` is what the manifest states, by default the time of the last example seen; a
    replay that maps the world's time to another one says here what it maps to.
    """
    report = progress or silent
    model = train(world, seed, report)
    report("export", 0.0)
    until = trained_until or _time(world.timestamps[world.train_rows - 1])
    release = Release(MODEL, f"{until:%Y-%m-%d}-seed{seed}", until)
    path = export_checkpoint(model, world.schema, release, folder)
    report("export", 1.0)
    return path


def train(world: World, seed: int = 0, progress: Progressing | None = None) -> ClickModel:
    """The demo's model; see `train_model`."""
    return train_model(world, ClickModel, seed, progress)


def train_model(
    world: World,
    build: Callable[[Schema, Tensor, Tensor], Model],
    seed: int = 0,
    progress: Progressing | None = None,
) -> Model:
    """One epoch over the training rows in random order, then one recalibration of the bias.

    `build` makes the model of the schema and the numeric features' mean and deviation, float32
    [C]; its last bias is the parameter `top.bias`. Deterministic by seed on one machine; leaves
    torch's global generator as it was.
    """
    report = progress or silent
    inputs = Encoder(world.schema)(world.examples.slice(0, world.train_rows))
    labels = torch.from_numpy(world.labels[: world.train_rows].astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dense = inputs[0]
        model = build(world.schema, dense.mean(0), dense.std(0).clamp(min=1e-3))
    generator = torch.Generator().manual_seed(seed)
    baseline = Encoder(world.schema).baseline(1)
    absences = Absences(world.schema, baseline, ABSENT_SHARE, generator)
    _fit(model, inputs, labels, absences, report)
    _recalibrate(model, inputs, labels)
    model.eval()
    return model


def _fit(
    model: nn.Module, inputs: Inputs, labels: Tensor, absences: Absences, report: Progressing
) -> None:
    batches = list(_batches(len(labels), absences.generator))
    optimiser = torch.optim.Adam(model.parameters(), lr=PEAK_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_LEARNING_RATE, total_steps=len(batches) + 1
    )
    for step, rows in enumerate(batches):
        logits = model(*absences(tuple(tensor[rows] for tensor in inputs)))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % REPORT_EVERY == 0 or step + 1 == len(batches):
            report("train", (step + 1) / len(batches))


def _batches(rows: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(rows, generator=generator)
    yield from torch.split(order, BATCH)


@torch.no_grad()
def _recalibrate(model: nn.Module, inputs: Inputs, labels: Tensor) -> None:
    """Newton's method on the last bias, over the last rows of the training period."""
    last = slice(max(len(labels) - RECALIBRATION_ROWS, 0), None)
    logits = model(*(tensor[last] for tensor in inputs))
    shift = torch.zeros(())
    for _ in range(10):
        expected = torch.sigmoid(logits + shift)
        shift += (labels[last] - expected).sum() / (expected * (1 - expected)).sum()
    model.get_parameter("top.bias").add_(shift)


def _time(timestamp: np.datetime64) -> datetime:
    return datetime.fromtimestamp(int(timestamp.astype("datetime64[s]").astype(np.int64)), UTC)
