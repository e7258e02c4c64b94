"""How important something was in a window, and how that moved from one window to another.

    coverage   c = n / N, with n the LFIs of N examples that are not zero                   (eq. 3)
    importance I = c * median(|w_i| : w_i != 0)                                             (eq. 4)

Its variance is c (1 - c) / N * median^2 + c^2 * v, with v the median's own variance: half the
distance between the order statistics at n / 2 -+ sqrt(n) / 2, squared (R. S. Woodruff, Journal of
the American Statistical Association 47, 1952).

Rows tell only part of how much importances change while nothing is broken. So a shift's noise is
the root mean square of the changes between earlier windows, where these are larger.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Importance:
    """Global importance in one window."""

    gfi: float
    coverage: float
    standard_error: float
    """Of the GFI."""
    example_count: int


@dataclass(frozen=True)
class Move:
    """How an importance moved from the last window but one to the last."""

    windows: Sequence[Importance]
    """In the order of time."""

    @property
    def shift(self) -> float:
        """GFI of the last window minus that of the one before."""
        return self.windows[-1].gfi - self.windows[-2].gfi

    @property
    def noise(self) -> float:
        """Standard deviation of a shift while nothing is broken."""
        rows = math.hypot(self.windows[-1].standard_error, self.windows[-2].standard_error)
        past = [after.gfi - before.gfi for before, after in pairwise(self.windows[:-1])]
        return max(rows, math.hypot(*past) / math.sqrt(len(past))) if past else rows

    @property
    def z(self) -> float:
        """Shift in multiples of its noise; 0 if both are."""
        if not self.shift:
            return 0.0
        return abs(self.shift) / self.noise if self.noise else math.inf


def importance_of(values: NDArray[np.float32], example_count: int) -> Importance:
    """Return the importance of what has these non-zero LFIs, float32 [n], in so many examples.

    >>> importance_of(np.array([-0.4, 0.1, 0.2], np.float32), 6).gfi
    0.10000000149011612
    """
    count = len(values)
    if not count:
        return Importance(0.0, 0.0, 0.0, example_count)
    magnitudes = np.sort(np.abs(values)).astype(np.float64)
    median, coverage = float(np.median(magnitudes)), count / example_count
    half = math.sqrt(count) / 2
    lower = max(math.floor(count / 2 - half), 0)
    upper = min(math.ceil(count / 2 + half), count) - 1
    median_error = float(magnitudes[upper] - magnitudes[lower]) / 2
    coverage_error = math.sqrt(coverage * (1 - coverage) / example_count)
    return Importance(
        gfi=coverage * median,
        coverage=coverage,
        standard_error=math.hypot(coverage_error * median, coverage * median_error),
        example_count=example_count,
    )
