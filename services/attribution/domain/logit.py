"""Logits: their probabilities, and when two are the same but for floating-point rounding."""

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Checkpoint, Output
from services.attribution.domain.errors import CheckpointRefused

_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.nextafter(np.float32(1), np.float32(0)))
_EPSILON = float(np.finfo(np.float32).eps)


def logits_of(answer: NDArray[np.generic], checkpoint: Checkpoint) -> NDArray[np.floating]:
    """Return the logits of what a program answers: `[N]`, `[N, 1]`, or two classes `[N, 2]`.

    Those of a checkpoint with C classes are `[N, C]`.

    A probability of exactly 0 or 1 counts as the float32 next to it; one outside of [0, 1] has no
    logit: NaN.

    Raises:
        CheckpointRefused: the answer has another shape, or no numbers.
    """
    if checkpoint.classes:
        return _class_logits(answer, len(checkpoint.classes))
    output, wide = checkpoint.output, answer.shape[1:]
    if not np.issubdtype(answer.dtype, np.floating) or wide not in ((), (1,), (2,)):
        raise CheckpointRefused(
            f"the program answers {answer.dtype} {list(answer.shape)}: it must answer floats, one "
            "for each example, or the probabilities of two classes"
        )
    if wide == (2,) and output is Output.LOGIT:
        raise CheckpointRefused("two classes have probabilities: set output to PROBABILITY")
    values = np.asarray(answer if not wide else answer[:, -1])
    if output is Output.LOGIT:
        return values
    probabilities = values.astype(np.float64)
    valid = (probabilities >= 0) & (probabilities <= 1)
    inner = np.clip(probabilities, _SMALLEST, _LARGEST)
    return np.where(valid, np.log(inner) - np.log1p(-inner), np.nan)


def _class_logits(answer: NDArray[np.generic], classes: int) -> NDArray[np.floating]:
    if not np.issubdtype(answer.dtype, np.floating) or answer.shape[1:] != (classes,):
        raise CheckpointRefused(
            f"the program answers {answer.dtype} {list(answer.shape)}: it must answer a float for "
            f"each of the {classes} classes that the manifest names"
        )
    return np.asarray(answer)


def log_odds(logits: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """Return the logit of a class against all others, [N], of their logits [N, C].

    It is `x_c - log(sum of exp(x_k), k != c)`: its sigmoid is the softmax.
    """
    others: NDArray[np.float64] = np.logaddexp.reduce(np.delete(logits, index, axis=1), axis=1)
    return np.asarray(logits[:, index] - others)


def same_but_for_rounding(
    logits: NDArray[np.floating],
    others: NDArray[np.floating],
    output: Output,
    roundings: float,
) -> NDArray[np.bool_]:
    """Return where two logits differ by at most `roundings` float32 roundings, bool of their shape.

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
