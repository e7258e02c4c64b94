"""A compiled checkpoint: logits and exact logit deltas of every ablation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.ablation import Ablations, check_finite
from services.attribution.domain.checkpoint import Checkpoint, Output
from services.attribution.domain.example import Examples
from services.attribution.engine.graph import Graph
from services.attribution.engine.pairs import pairs_of, presence
from services.attribution.engine.running import Block, run
from services.attribution.engine.trunk import Trunk


@dataclass(frozen=True)
class Limits:
    """How much work is done at once."""

    block_rows: int = 64
    chunk_pairs: int = 512


@dataclass(frozen=True)
class AblationProgram:
    """The graph, and for each class of features the way to the logit."""

    checkpoint: Checkpoint
    graph: Graph
    trunks: Sequence[Trunk]
    output: Output
    """What the graph answers."""
    limits: Limits = Limits()

    def ablate(self, examples: Examples) -> Ablations:
        """Return the logits and by how much each ablation changes them.

        Raises:
            NotFinite: the prediction for an example, ablated or not, is NaN or infinite.
        """
        present = presence(examples)
        deltas = np.zeros(present.shape, dtype=np.float32)
        logits = np.empty(examples.count, dtype=np.float32)
        for start in range(0, examples.count, self.limits.block_rows):
            rows = slice(start, min(start + self.limits.block_rows, examples.count))
            logits[rows] = self._ablate_block(examples, rows, present[:, rows], deltas[:, rows])
        check_finite(logits, "as it is")
        for j, feature in enumerate(self.checkpoint.schema.features):
            check_finite(deltas[j], f"with {feature.name!r} ablated")
        return _sparse(logits, deltas)

    def _ablate_block(
        self,
        examples: Examples,
        rows: slice,
        present: NDArray[np.bool_],
        deltas: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        arguments = [torch.from_numpy(np.ascontiguousarray(a[rows])) for a in examples.arguments()]
        with torch.inference_mode():
            block = Block(self.graph.run(arguments), rows.stop - rows.start)
            for trunk in self.trunks:
                features = trunk.features
                pairs = pairs_of(present[list(features)], features)
                if pairs.count:
                    change = run(trunk, block, pairs, self.limits.chunk_pairs)
                    change = self._of_logits(block.values[self.graph.output][pairs.rows], change)
                    deltas[pairs.owners.numpy(), pairs.rows.numpy()] = change.numpy()
            output: Tensor = block.values[self.graph.output]
            return np.asarray(self._logits(output).numpy())

    def _logits(self, output: Tensor) -> Tensor:
        return torch.logit(output) if self.output is Output.PROBABILITY else output

    def _of_logits(self, output: Tensor, change: Tensor) -> Tensor:
        """Return the change of the logit, given the output's: `log(1 + dp / p) - log(1 - dp / q)`."""
        if self.output is Output.LOGIT:
            return change
        return torch.log1p(change / output) - torch.log1p(-change / (1 - output))


def _sparse(logits: NDArray[np.float32], deltas: NDArray[np.float32]) -> Ablations:
    """Return the non-zero deltas of `[features, examples]`, by feature."""
    features, rows = np.nonzero(deltas)
    counts = np.bincount(features, minlength=len(deltas))
    return Ablations(
        logits=logits,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
        example_indices=rows.astype(np.uint32),
        deltas=deltas[features, rows],
    )
