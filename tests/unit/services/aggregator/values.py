"""Sketches of values, made the plain way."""

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.sketch import Ragged, Sketch


def numeric_sketch(values: NDArray[np.float32], predictions: NDArray[np.float32]) -> Sketch:
    """The sketch of numeric features, float32 [N, M] or [N], whose baseline is zero."""
    matrix = values.reshape(len(values), -1)
    rows = [np.unique(_buckets(column[column != 0]), return_counts=True) for column in matrix.T]
    p = predictions.astype(np.float64)
    exact = matrix.astype(np.float64)
    apart, of_p = exact - exact.mean(axis=0), p - p.mean()
    moments = [exact.mean(axis=0), (apart**2).sum(axis=0), of_p @ apart]
    return Sketch(
        baseline_counts=(matrix == 0).sum(axis=0).astype(np.uint32),
        buckets=Ragged(
            np.cumsum([0, *(len(keys) for keys, _ in rows)]).astype(np.uint32),
            np.concatenate([keys for keys, _ in rows]),
            np.concatenate([counts for _, counts in rows]).astype(np.uint32),
        ),
        hitters=Ragged(np.zeros(1, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32)),
        moments=np.stack(moments, axis=1),
        prediction_mean=float(p.mean()),
        prediction_squares=float(of_p @ of_p),
    )


def _buckets(values: NDArray[np.float32]) -> NDArray[np.int16]:
    magnitudes = (np.abs(values).view(np.uint32) >> 20).astype(np.int16)
    return np.where(values < 0, -magnitudes, magnitudes)
