"""Logits: their probabilities, and when two are the same but for floating-point rounding."""

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Output

_EPSILON = float(np.finfo(np.float32).eps)


def same_but_for_rounding(
    logits: NDArray[np.floating],
    others: NDArray[np.floating],
    output: Output,
    roundings: float,
) -> NDArray[np.bool_]:
    """Return where two logits differ by at most `roundings` float32 roundings, bool [N].

    A rounding is relative to max(1, |logit|), because the terms of a small logit are not small. A
    model that answers probabilities rounds these: its roundings are relative to the probability as
    well, and their logits, which lie far apart near 1, are not compared.
    """
    before, after = logits.astype(np.float64), others.astype(np.float64)
    scale = np.maximum(1.0, np.abs(before))
    if output is Output.PROBABILITY:
        before, after = sigmoid(before), sigmoid(after)
        scale = scale * before
    return np.asarray(np.abs(after - before) <= roundings * _EPSILON * scale, dtype=np.bool_)


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of logits, without overflow."""
    return np.exp(-np.logaddexp(0.0, -logits))
