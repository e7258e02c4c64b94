"""How much each feature's importance changes from window to window when nothing is wrong.

The bootstrap knows the noise of drawing examples; it does not know that users cluster, that hours
differ and that the world moves. A feature's own past does: let d_t be the changes of its importance
between earlier healthy windows, and s_t^2 the bootstrap variance of each. What the bootstrap leaves
unexplained is

    e_j = mean_t(d_t^2 - s_t^2),

shrunk, because a short past says little, towards the same relative noise for all features:

    h_j^2 = max(0, (n e_j + n_0 (r l_j)^2) / (n + n_0)),   n_0 = 8,

with n changes, l_j the feature's mean importance and r^2 the median over features of e_j / l_j^2
(r = 0.1 without a past).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.window import Window


class Measured(Protocol):
    """What is known of a window's importances, float64 [M] each."""

    @property
    def gfi(self) -> NDArray[np.float64]:
        """Importances."""

    @property
    def standard_error(self) -> NDArray[np.float64]:
        """Theirs, by the bootstrap."""


@dataclass(frozen=True, eq=False)
class Importances:
    """Implements Measured, and nothing else."""

    gfi: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    @property
    def nbytes(self) -> int:
        """What they take in memory."""
        return self.gfi.nbytes + self.standard_error.nbytes


PRIOR_CHANGES = 8
"""n_0: how many changes the pooled noise counts for."""
_PRIOR_NOISE = 0.1
_FEWEST_CHANGES = 3


@dataclass(frozen=True, eq=False)
class HistoricalNoise:
    """Variance of each feature's importance beyond the bootstrap's, float64 [M]."""

    variance: NDArray[np.float64]
    change_count: int
    """How many earlier changes it was estimated from, n."""

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the estimate."""
        return self.change_count + PRIOR_CHANGES


def pair_up(windows: Sequence[Window], lag: timedelta) -> list[tuple[int, int]]:
    """Return positions (later, earlier) of the windows to take changes between.

    `windows` rise in time. Changes over the lag of the comparison at hand are wanted, because they
    share its seasonality; where there are fewer than three, changes from each window to the next
    stand in.
    """
    places = {window.interval.start: place for place, window in enumerate(windows)}
    lagged = [
        (place, places[start - lag]) for start, place in places.items() if start - lag in places
    ]
    if len(lagged) >= _FEWEST_CHANGES:
        return lagged
    return [(place, place - 1) for place in range(1, len(windows))]


def phases_of(
    windows: Sequence[Window], pairs: Sequence[tuple[int, int]], anomaly: Window, lag: timedelta
) -> NDArray[np.intp]:
    """Return the phases of the windows and of the anomaly, [W + 1]: their start modulo the lag.

    All are one where the `pairs` are not a lag apart, as then nothing is known of seasonality.
    """
    starts = [window.place.start for window in (*windows, anomaly)]
    if any(starts[later] - starts[earlier] != lag for later, earlier in pairs):
        return np.zeros(len(starts), dtype=np.intp)
    since = [(start - starts[-1]) % lag for start in starts]
    numbers = {phase: number for number, phase in enumerate(sorted(set(since)))}
    return np.array([numbers[phase] for phase in since], dtype=np.intp)


def historical_noise(
    control: Measured, earlier: Sequence[Measured], pairs: Sequence[tuple[int, int]]
) -> HistoricalNoise:
    """Return the noise beyond the bootstrap's in the changes between the `pairs` of `earlier`."""
    levels = np.mean([control.gfi, *(summary.gfi for summary in earlier)], axis=0)
    if not pairs:
        return HistoricalNoise((_PRIOR_NOISE * levels) ** 2, 0)
    unexplained = np.mean([_unexplained(earlier[a], earlier[b]) for a, b in pairs], axis=0)
    pooled = _pooled_relative_variance(unexplained, levels)
    shrunk = (len(pairs) * unexplained + PRIOR_CHANGES * pooled * levels**2) / (
        len(pairs) + PRIOR_CHANGES
    )
    return HistoricalNoise(np.maximum(shrunk, 0.0), len(pairs))


def _unexplained(later: Measured, earlier: Measured) -> NDArray[np.float64]:
    change = later.gfi - earlier.gfi
    return change**2 - later.standard_error**2 - earlier.standard_error**2


def _pooled_relative_variance(
    unexplained: NDArray[np.float64], levels: NDArray[np.float64]
) -> float:
    known = levels > 0
    if not known.any():
        return _PRIOR_NOISE**2
    return max(float(np.median(unexplained[known] / levels[known] ** 2)), 0.0)
