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

from services.aggregator.domain.portrait import Frame, Portrait

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


def shift_of_magnitudes(frame: Frame, one: Portrait, other: Portrait) -> NDArray[np.float64]:
    """Return the shift of equation 5 as the paper has it, of |r|, [M]: largest over proxies."""
    magnitudes = [np.abs(each.correlations.astype(np.float64)) for each in (one, other)]
    return frame.largest_of_proxies(np.abs(magnitudes[0] - magnitudes[1]))


def of(signals: Signals, signal: Signal) -> NDArray[np.float64]:
    """Return one signal of all features, [M]; of several changes, [n, M]."""
    return np.asarray(signals[..., SIGNALS.index(signal), :])
