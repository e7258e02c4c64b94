"""How far apart two windows are, feature by feature, by each signal.

With c the coverage and Q the quantile function of a feature's signed LFIs *with their zeros* (a
share 1 - c of them), P the distribution of one quantity of its values *with its baseline* as one
more value, and r the correlation of one proxy with the prediction:

    LFI distance        mean over u of |Q(u) - Q'(u)|, Wasserstein's first distance
    GFI shift           |I - I'|
    coverage change     |c - c'|
    value distance      largest over quantities of sqrt(JS(P, P')), in bits, 0 to 1
    MFC shift           largest over proxies of |r - r'|

The signals answer two questions: what the model feels (the first two) and what the data shows (the
others). A signal that is not known of a feature in both windows is NaN.
"""

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.portrait import Frame

Signals = NDArray[np.float64]
"""One number a signal and feature, [signals, M], in the order of `SIGNALS`."""


class Signal(Enum):
    """What can change about a feature from one window to another."""

    LFI_DISTANCE = "LFI_DISTANCE"
    GFI_SHIFT = "GFI_SHIFT"
    COVERAGE_CHANGE = "COVERAGE_CHANGE"
    VALUE_DISTANCE = "VALUE_DISTANCE"
    MFC_SHIFT = "MFC_SHIFT"


SIGNALS: Sequence[Signal] = tuple(Signal)
SHOWN: Sequence[Signal] = (Signal.COVERAGE_CHANGE, Signal.VALUE_DISTANCE, Signal.MFC_SHIFT)
"""By the data, whether the model cares or not."""


def changes(frame: Frame, one: NDArray[np.float32], other: NDArray[np.float32]) -> Signals:
    """Return the signals between two portraits in the same frame."""
    apart = np.abs(one.astype(np.float64) - other)
    correlations = _largest(apart[frame.correlations], frame.proxy_owners, frame.feature_count)
    return np.stack(
        [
            apart[frame.lfis].reshape(frame.feature_count, -1).mean(axis=1),
            apart[frame.gfi],
            apart[frame.coverage],
            _value_distance(frame, one[frame.shares], other[frame.shares]),
            correlations,
        ]
    )


def shift_of_magnitudes(
    frame: Frame, one: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the shift of equation 5 as the paper has it, of |r|, [M]: largest over proxies."""
    magnitudes = [np.abs(row[frame.correlations].astype(np.float64)) for row in (one, other)]
    apart = np.abs(magnitudes[0] - magnitudes[1])
    return _largest(apart, frame.proxy_owners, frame.feature_count)


def of(signals: Signals, signal: Signal) -> NDArray[np.float64]:
    """Return one signal of all features, [M]."""
    return np.asarray(signals[SIGNALS.index(signal)])


def _value_distance(
    frame: Frame, one: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.float64]:
    if not len(frame.starts):
        return np.full(frame.feature_count, np.nan)
    p, q = one.astype(np.float64), other.astype(np.float64)
    middle = (p + q) / 2
    divergence = np.add.reduceat(
        (_entropy_term(p) + _entropy_term(q)) / 2 - _entropy_term(middle), frame.starts
    )
    distances = np.sqrt(np.maximum(divergence, 0.0))
    return _largest(distances, frame.distribution_owners, frame.feature_count)


def _entropy_term(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p log2 p, zero at zero."""
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.where(np.isnan(p), np.nan, p * logs)


def _largest(
    values: NDArray[np.float64], owners: NDArray[np.intp], feature_count: int
) -> NDArray[np.float64]:
    """Return the largest known value of each feature, [M]; NaN where none is known."""
    largest = np.full(feature_count, -np.inf)
    known = ~np.isnan(values)
    np.maximum.at(largest, owners[known], values[known])
    return np.where(np.isneginf(largest), np.nan, largest)
