"""A model that learns from what it displayed, hour after hour, and the checkpoints that it leaves.

Each hour the newest model ranks and displays; then it takes one pass over what was displayed and
clicked. A fault of a pipeline so gets into what is shown, into the labels, and into the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import nn

from clients.drill.ads.population import time_of
from clients.drill.ads.world import AdsHour, AdsWorld
from clients.drill.corruptions import Corruption
from clients.drill.encoding import Encoder
from clients.drill.export import Release, export_checkpoint
from clients.drill.plain_model import PlainClickModel
from clients.drill.training import ABSENT_SHARE, Absences

MODEL = "ads_ctr"
BATCH = 128
LEARNING_RATE = 2e-3
FORWARD_ROWS = 1024
WARM_UP_EPOCHS = 2


@dataclass
class Learner:
    """A model in training; deterministic by the world's seed."""

    world: AdsWorld
    model: PlainClickModel
    hour: int
    """The next hour to play."""

    @classmethod
    def warmed_up(cls, world: AdsWorld, hours: int, normalised: bool = False) -> "Learner":
        """A model trained on the first hours, in which ads were displayed at random."""
        played = [world.play(hour) for hour in range(hours)]
        table = pa.concat_tables([_shown(hour) for hour in played]).combine_chunks()
        clicked = np.concatenate([hour.clicked[hour.displayed] for hour in played])
        (dense, *_) = Encoder(world.schema)(table)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(world.settings.seed)
            deviation = dense.std(0).clamp(min=1e-3)
            model = PlainClickModel(world.schema, dense.mean(0), deviation, normalised=normalised)
        learner = cls(world, model, hours)
        for _ in range(WARM_UP_EPOCHS):
            learner._learn(table, clicked)
        return learner

    def score(self, examples: pa.Table) -> npt.NDArray[np.float32]:
        """Predictions of the model as it is now, float32 [N]."""
        return predict(self.model, Encoder(self.world.schema), examples)

    def live(
        self, hours: int, fault: Corruption | None = None, learns: bool = True
    ) -> Iterator[AdsHour]:
        """Play the next hours: rank, display, see who clicks, and learn from it."""
        for _ in range(hours):
            played = self.world.play(self.hour, self.score, fault)
            self.hour += 1
            yield played
            if learns:
                self._learn(_shown(played), played.clicked[played.displayed])

    def export(self, folder: Path) -> Path:
        """Write the model as it is now, trained until the next hour, as a checkpoint."""
        until = time_of(self.hour)
        release = Release(MODEL, f"{until:%Y-%m-%dT%H}-seed{self.world.settings.seed}", until)
        return export_checkpoint(self.model, self.world.schema, release, folder)

    def _learn(self, table: pa.Table, clicked: npt.NDArray[np.bool_]) -> None:
        """One pass in random order, with features served at their baselines now and then."""
        encoder = Encoder(self.world.schema)
        inputs = encoder(table)
        labels = torch.from_numpy(clicked.astype(np.float32))
        generator = torch.Generator().manual_seed(self.world.settings.seed + self.hour)
        absences = Absences(self.world.schema, encoder.baseline(1), ABSENT_SHARE, generator)
        optimiser = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.model.train()
        for rows in torch.split(torch.randperm(len(labels), generator=generator), BATCH):
            logits = self.model(*absences(tuple(tensor[rows] for tensor in inputs)))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        self.model.eval()


@torch.no_grad()
def predict(model: nn.Module, encoder: Encoder, examples: pa.Table) -> npt.NDArray[np.float32]:
    """Probabilities of examples, float32 [N]."""
    scores = [np.zeros(0, np.float32)]
    for start in range(0, examples.num_rows, FORWARD_ROWS):
        logits = model(*encoder(examples.slice(start, FORWARD_ROWS)))
        scores.append(torch.sigmoid(logits).numpy())
    return np.concatenate(scores)


def _shown(hour: AdsHour) -> pa.Table:
    return hour.examples.filter(pa.array(hour.displayed))
