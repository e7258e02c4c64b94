"""What ablation does to the logits of a batch."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.errors import NotFinite


@dataclass(frozen=True)
class Ablations:
    """The logits of a batch and by how much each ablation changes them, sparse by feature.

    A (feature, example) pair without an entry has no effect at all: its importance is exactly zero.
    """

    logits: NDArray[np.floating]
    """[N], of the examples as they are."""
    offsets: NDArray[np.uint32]
    """[M + 1]: feature j owns entries `[offsets[j], offsets[j + 1])` of the next two."""
    example_indices: NDArray[np.uint32]
    """[entries]: the example of each entry, rising within a feature."""
    deltas: NDArray[np.floating]
    """[entries]: logit with the feature ablated minus logit as it is, never zero."""

    def dense(self) -> NDArray[np.float64]:
        """Return the deltas as `[N, M]`, zero where there is no entry."""
        return dense(self.offsets, self.example_indices, self.deltas, len(self.logits))


def dense(
    offsets: NDArray[np.uint32],
    example_indices: NDArray[np.uint32],
    values: NDArray[np.floating],
    count: int,
) -> NDArray[np.float64]:
    """Return values that are sparse by feature as `[count, M]`, zero where there is no entry."""
    matrix = np.zeros((count, len(offsets) - 1))
    for feature, (start, end) in enumerate(pairwise(offsets)):
        matrix[example_indices[start:end], feature] = values[start:end]
    return matrix


def check_finite(logits: NDArray[np.floating], what: str) -> None:
    """Check the logits of a batch, [N] or [N, C].

    Raises:
        NotFinite: one is NaN or infinite; `what` says what was done to the examples.
    """
    wrong = np.flatnonzero(~np.isfinite(logits).reshape(len(logits), -1).all(axis=1))
    if len(wrong):
        raise NotFinite(
            f"the model predicts {logits[wrong[0]]} for example {wrong[0]} {what} ({len(wrong)} of "
            f"{len(logits)} examples): the program must answer every input with a finite number"
        )
