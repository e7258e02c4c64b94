"""Value sketches of the contract as the domain's."""

import numpy as np
from numpy.typing import NDArray

from aftershock.v1.importance_pb2 import ValueSketch
from services.aggregator.adapters.tensors import float64_rows, int16, int64, uint32
from services.aggregator.domain.sketch import Ragged, Sketch

_FIELD = "block.value_sketch"


def sketch_of(message: ValueSketch, predictions: NDArray[np.float32]) -> Sketch:
    """Return a block's sketch, whose arrays are not yet held against each other.

    Raises:
        MalformedBlock: an array is not what its message says.
    """
    mean = float(np.mean(predictions, dtype=np.float64)) if len(predictions) else 0.0
    apart = predictions.astype(np.float64) - mean
    return Sketch(
        baseline_counts=uint32(message.baseline_counts, f"{_FIELD}.baseline_counts"),
        buckets=Ragged(
            uint32(message.bucket_offsets, f"{_FIELD}.bucket_offsets"),
            int16(message.buckets, f"{_FIELD}.buckets"),
            uint32(message.bucket_counts, f"{_FIELD}.bucket_counts"),
        ),
        hitters=Ragged(
            uint32(message.hitter_offsets, f"{_FIELD}.hitter_offsets"),
            int64(message.hitter_ids, f"{_FIELD}.hitter_ids"),
            uint32(message.hitter_counts, f"{_FIELD}.hitter_counts"),
        ),
        moments=float64_rows(message.moments, 3, f"{_FIELD}.moments"),
        prediction_mean=mean,
        prediction_squares=float(apart @ apart),
    )
