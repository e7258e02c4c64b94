r"""Local feature importance: what the change of a logit means to one example.

With p the prediction, z its logit, p~ the prediction with one feature ablated and d = z~ - z:

    equation 1, pseudo-loss   w = log(p~ / p)               if p >= threshold
                              w = log((1 - p~) / (1 - p))   otherwise
    equation 2, relative      w = 1 - p~ / p

Both follow from z and d alone, without the cancellation of subtracting saturated probabilities:
p / p~ = 1 + (1 - p)(e^-d - 1), and the mirror image p -> 1 - p, d -> -d for the other branch.

Reference: Vishnampet et al., "Root Causing Prediction Anomalies Using Explainable AI".

>>> attribute(
...     Ablations(
...         logits=np.array([0.0, -2.0]),
...         offsets=np.array([0, 1, 2], dtype=np.uint32),
...         example_indices=np.array([0, 1], dtype=np.uint32),
...         deltas=np.array([-1.0, 0.5]),
...     ),
...     LfiMethod.PSEUDO_LOSS,
...     threshold=0.5,
... ).values
array([-0.6201145 , -0.07448526], dtype=float32)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.ablation import Ablations, dense
from services.attribution.domain.logit import sigmoid

_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)


class LfiMethod(Enum):
    """Which equation turns an ablated prediction into an importance."""

    PSEUDO_LOSS = "PSEUDO_LOSS"
    RELATIVE = "RELATIVE"


@dataclass(frozen=True)
class SparseLfi:
    """The non-zero importances of a batch, sparse by feature."""

    offsets: NDArray[np.uint32]
    """[M + 1]: feature j owns entries `[offsets[j], offsets[j + 1])` of the next two."""
    example_indices: NDArray[np.uint32]
    """[entries]: the example of each entry, rising within a feature."""
    values: NDArray[np.float32]
    """[entries]: finite and never zero."""
    predictions: NDArray[np.float32]
    """[N]: probabilities."""

    def dense(self) -> NDArray[np.float64]:
        """Return the importances as `[N, M]`, zero where there is no entry."""
        return dense(self.offsets, self.example_indices, self.values, len(self.predictions))


def joined(parts: Sequence[SparseLfi]) -> SparseLfi:
    """Return the importances of batches one after the other, as of one batch."""
    if len(parts) == 1:
        return parts[0]
    counts = np.array([np.diff(part.offsets.astype(np.int64)) for part in parts])
    offsets = np.concatenate([[0], np.cumsum(counts.sum(axis=0))])
    free, row = offsets[:-1].copy(), 0
    indices = np.empty(offsets[-1], dtype=np.uint32)
    values = np.empty(offsets[-1], dtype=np.float32)
    for part, taken in zip(parts, counts, strict=True):
        places = np.arange(len(part.values)) + np.repeat(free - part.offsets[:-1], taken)
        indices[places], values[places] = part.example_indices + np.uint32(row), part.values
        free += taken
        row += len(part.predictions)
    predictions = np.concatenate([part.predictions for part in parts])
    return SparseLfi(offsets.astype(np.uint32), indices, values, predictions)


def attribute(ablations: Ablations, method: LfiMethod, threshold: float) -> SparseLfi:
    """Return the importances of a batch; an entry is exactly zero iff its delta is."""
    logits = ablations.logits.astype(np.float64)
    deltas = ablations.deltas.astype(np.float64)
    of_entries = logits[ablations.example_indices]
    if method is LfiMethod.PSEUDO_LOSS:
        values = pseudo_loss(of_entries, deltas, threshold)
    else:
        values = relative(of_entries, deltas)
    return SparseLfi(
        offsets=ablations.offsets,
        example_indices=ablations.example_indices,
        values=values,
        predictions=sigmoid(logits).astype(np.float32),
    )


def pseudo_loss(
    logits: NDArray[np.float64], deltas: NDArray[np.float64], threshold: float
) -> NDArray[np.float32]:
    """Return equation 1 of each entry, computed in float64."""
    mirror = np.where(sigmoid(logits) >= threshold, 1.0, -1.0)
    values = _log_ratio(mirror * logits, mirror * deltas)
    return _rounded(values, sign=mirror * np.sign(deltas))


def relative(logits: NDArray[np.float64], deltas: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return equation 2 of each entry, computed in float64."""
    with np.errstate(over="ignore"):
        values = -np.expm1(_log_ratio(logits, deltas))
    return _rounded(values, sign=-np.sign(deltas))


def _log_ratio(logits: NDArray[np.float64], deltas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(p~ / p): exact to a rounding for small deltas, without overflow for large ones."""
    small = np.clip(deltas, -1.0, 1.0)
    exact = -np.log1p(sigmoid(-logits) * np.expm1(-small))
    large = np.logaddexp(0.0, -logits) - np.logaddexp(0.0, -logits - deltas)
    return np.where(np.abs(deltas) <= 1.0, exact, large)


def _rounded(values: NDArray[np.float64], sign: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return float32 values that neither underflow to zero nor overflow."""
    magnitude = np.clip(np.abs(values), _SMALLEST, _LARGEST)
    return np.asarray(sign * magnitude, dtype=np.float32)
