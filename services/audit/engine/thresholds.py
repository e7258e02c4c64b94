"""From scores of a machine to labels: which confidence makes as many errors of either kind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from services.audit.domain.errors import InvalidParameters


@dataclass(frozen=True, eq=False)
class ThresholdCalibration:
    """Errors of machine-made labels against a person's, by threshold (appendix B)."""

    thresholds: NDArray[np.float64]
    """[G] rising."""
    false_positives: NDArray[np.int64]
    """[G] labels that the person did not give; falls."""
    false_negatives: NDArray[np.int64]
    """[G] labels of the person that fall under the threshold; rises."""
    chosen: float
    """The threshold at which both are nearest to equal; then the smaller sum, the lower."""


def confidences(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the softmax over the top logits of each place.

    Args:
        logits: [..., k] the k largest, in any order.
    """
    return np.asarray(softmax(logits.astype(np.float64), axis=-1))


def machine_labels(
    scores: NDArray[np.float64], labels: NDArray[np.int64], label_count: int
) -> NDArray[np.float64]:
    """Return each row's highest confidence in each label.

    Args:
        scores: [N, places, k] confidences.
        labels: [N, places, k] their label ids.
        label_count: L.

    Returns:
        [N, L], 0 where no place names the label.
    """
    best = np.zeros((len(scores), label_count))
    row = np.broadcast_to(np.arange(len(scores))[:, None, None], labels.shape)
    np.maximum.at(best, (row, labels), scores)
    return best


def calibrate_threshold(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], thresholds: NDArray[np.float64]
) -> ThresholdCalibration:
    """Choose the threshold from which on a score is a label.

    Args:
        scores: [N, L] confidence of each row in each label.
        truth: [N, L] what a person says.
        thresholds: [G] to try.

    Raises:
        InvalidParameters: no thresholds, shapes that differ, or no row.
    """
    if scores.shape != truth.shape or not scores.size or not thresholds.size:
        raise InvalidParameters(
            f"scores {list(scores.shape)} and truth {list(truth.shape)} must have one shape, with "
            "rows, labels and thresholds"
        )
    grid = np.sort(thresholds.astype(np.float64))
    wrong, right = np.sort(scores[~truth]), np.sort(scores[truth])
    positives = len(wrong) - np.searchsorted(wrong, grid, side="left")
    negatives = np.searchsorted(right, grid, side="left")
    order = np.lexsort((grid, positives + negatives, np.abs(positives - negatives)))
    return ThresholdCalibration(
        grid, positives.astype(np.int64), negatives.astype(np.int64), float(grid[order[0]])
    )
