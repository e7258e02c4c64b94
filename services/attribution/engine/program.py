"""A compiled checkpoint: logits and exact logit deltas of every ablation."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.ablation import Ablations, check_finite
from services.attribution.domain.checkpoint import Checkpoint, Output
from services.attribution.domain.compilation import Explanation
from services.attribution.domain.example import Examples
from services.attribution.engine.block import Block
from services.attribution.engine.device import CPU, array_of, computing_on, tensor_of
from services.attribution.engine.footprint import dealt
from services.attribution.engine.graph import Graph
from services.attribution.engine.pairs import pairs_of, presence
from services.attribution.engine.running import Job
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.trunk import Trunk


@dataclass(frozen=True)
class Limits:
    """How much work is done at once, and by how many threads. No answer depends on it.

    A batch of fewer than `workers * block_rows` examples is dealt out evenly. `block_bytes` is what
    one worker takes at a time, as far as a sample tells; a single example may need more.
    """

    workers: int = 1
    block_rows: int = 256
    block_bytes: int = 1 << 30
    chunk_pairs: int = 512


class AblationProgram:
    """The graph, and for each class of features the way to the logit."""

    def __init__(
        self,
        *,
        checkpoint: Checkpoint,
        graph: Graph,
        trunks: Sequence[Trunk],
        output: Output,
        limits: Limits,
        explanation: Explanation,
        device: torch.device,
    ) -> None:
        self._checkpoint = checkpoint
        self.graph = graph
        self.trunks = trunks
        self._output = output
        self.limits = limits
        self.explanation = explanation
        self.device = device
        self._workers = ThreadPoolExecutor(limits.workers, initializer=_one_thread_each)
        self._own = threading.local()

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint whose features are ablated."""
        return self._checkpoint

    def ablate(self, examples: Examples, features: NDArray[np.bool_] | None = None) -> Ablations:
        """Return the logits and by how much ablating each of the features (None: all) changes them.

        Raises:
            NotFinite: the prediction for an example, ablated or not, is NaN or infinite.
        """
        work = _Work(examples, features)
        # Threads would only take turns at an accelerator.
        run_all = self._workers.map if self.device == CPU else map
        list(run_all(lambda rows: self._ablate_block(work, rows), self.blocks(work.present)))
        check_finite(work.logits, "as it is")
        for j, feature in enumerate(self._checkpoint.schema.features):
            check_finite(work.deltas[j], f"with {feature.name!r} ablated")
        return _sparse(work.logits, work.deltas)

    def blocks(self, present: NDArray[np.bool_]) -> Sequence[slice]:
        """Return the rows to do at a time, given where features are present, `[features, rows]`."""
        needs = np.zeros(present.shape[1])
        for trunk in self.trunks:
            pairs = present[list(trunk.features)].sum(axis=0)
            needs = np.maximum(needs, trunk.footprint.needs(pairs))
        limits = self.limits
        return dealt(needs, limits.workers, limits.block_rows, limits.block_bytes)

    def _ablate_block(self, work: "_Work", rows: slice) -> None:
        with torch.inference_mode(), computing_on(self.device):
            block = Block(self.graph.run(work.arguments(rows)), rows.stop - rows.start)
            output: Tensor = block.values[self.graph.output]
            work.logits[rows] = array_of(self.logits_of(output))
            for trunk in self.trunks:
                pairs = pairs_of(work.present[list(trunk.features), rows], trunk.features)
                if pairs.count:
                    job = Job(trunk, block, pairs, self.limits.chunk_pairs, self._scratch())
                    change = job.run()
                    change = self._of_logits(output[pairs.rows], change)
                    work.deltas[array_of(pairs.owners), rows.start + array_of(pairs.rows)] = (
                        array_of(change)
                    )

    def _scratch(self) -> Scratch:
        if not hasattr(self._own, "scratch"):
            self._own.scratch = Scratch()
        scratch: Scratch = self._own.scratch
        return scratch

    def logits_of(self, output: Tensor) -> Tensor:
        """Return the logits of what the graph answers."""
        return torch.logit(output) if self._output is Output.PROBABILITY else output

    def _of_logits(self, output: Tensor, change: Tensor) -> Tensor:
        """Return a logit's change for the output's: `log(1 + dp / p) - log(1 - dp / (1 - p))`."""
        if self._output is Output.LOGIT:
            return change
        return torch.log1p(change / output) - torch.log1p(-change / (1 - output))


class _Work:
    """A batch and what is known of its answer."""

    def __init__(self, examples: Examples, features: NDArray[np.bool_] | None) -> None:
        self._arguments = examples.arguments()
        self.present = presence(examples)
        if features is not None:
            self.present &= features[:, np.newaxis]
        self.deltas = np.zeros(self.present.shape, dtype=np.float32)
        self.logits = np.empty(examples.count, dtype=np.float32)

    def arguments(self, rows: slice) -> list[Tensor]:
        return [tensor_of(np.ascontiguousarray(a[rows])) for a in self._arguments]


def _one_thread_each() -> None:
    torch.set_num_threads(1)


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
