"""The model server of the world: what a serving fleet does with a checkpoint and a kill-switch."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from clients.drill.encoding import NOBODY, Encoder
from clients.drill.export import Checkpoint, load_checkpoint

Inputs = tuple[torch.Tensor, ...]

ENCODE_ROWS = 8192
FORWARD_ROWS = 1024


@dataclass(frozen=True)
class ModelServer:
    """Scores logged examples with one checkpoint."""

    checkpoint: Checkpoint

    @classmethod
    def load(cls, folder: Path) -> "ModelServer":
        """Serves the checkpoint in `folder`; raises CheckpointError if it is not fit to be read."""
        return cls(load_checkpoint(folder))

    @torch.no_grad()
    def predict(
        self, examples: pa.Table, killed: Collection[str] = NOBODY
    ) -> npt.NDArray[np.float32]:
        """Probabilities, float32 [N]; killed features are served at their baselines.

        Names among `killed` that the checkpoint does not know are ignored: a kill-switch may
        outlive the feature.
        """
        scores = [np.zeros(0, np.float32)]
        for inputs in self._batches(examples, killed):
            scores += [torch.sigmoid(self.checkpoint.program(*inputs)).numpy()]
        return np.concatenate(scores)

    def _batches(self, examples: pa.Table, killed: Collection[str]) -> Iterator[Inputs]:
        """Encoded by the thousands, scored in batches that stay in the processor's cache."""
        encoder = Encoder(self.checkpoint.schema)
        for start in range(0, examples.num_rows, ENCODE_ROWS):
            inputs = encoder(examples.slice(start, ENCODE_ROWS), killed)
            yield from zip(*(torch.split(tensor, FORWARD_ROWS) for tensor in inputs), strict=True)
