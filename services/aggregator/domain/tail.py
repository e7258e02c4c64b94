"""How rarely a clean window says as much as this, though it was never seen to.

Scores of clean windows are a sample of what chance does. Beyond the highest twentieth of them, the
threshold u, their distribution is taken to fall off exponentially: scores are sums of logarithms of
tail probabilities (peaks over a threshold; Pickands, Balkema and de Haan). The mean excess m is
itself an estimate, from as many independent excesses as there are windows d that have any, for the
features of a window go up together. So what is given is the predictive probability

    P(S > s) = k / n * (1 + (s - u) / (d m))^-d,   k = n / 20,

which is heavier than exponential where the past is short. Below the threshold it is the share of
clean scores at least as high.

>>> tail = Tail.of(np.arange(1000.0).reshape(100, 10))
>>> tail(np.array([0.0, 899.0, 2000.0])).round(4)
array([1.    , 0.1019, 0.    ])
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_SCORES = 40
"""With fewer there is no telling what chance does."""
_TAIL = 20
_FEWEST_IN_TAIL = 10
_STEEPEST = 0.25
"""Of the mean excess: scores that hardly differ do not make every other a miracle."""


@dataclass(frozen=True, eq=False)
class Tail:
    """Scores of clean windows, float64 [n], rising, and how they fall off beyond the k highest."""

    scores: NDArray[np.float64]
    count: int
    threshold: float
    mean_excess: float
    windows: int
    """How many have a score beyond the threshold."""

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> "Tail":
        """Return the tail of at least FEWEST_SCORES scores, [windows, M]."""
        rising = np.sort(scores, axis=None)
        count = max(len(rising) // _TAIL, _FEWEST_IN_TAIL)
        threshold = float(rising[-count - 1])
        excess = float(np.mean(rising[-count:] - threshold))
        windows = int(np.count_nonzero((scores > threshold).any(axis=1)))
        return cls(rising, count, threshold, max(excess, _STEEPEST), max(windows, 1))

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability that chance gives a feature as high a score, above zero."""
        n = len(self.scores)
        reached = n - np.searchsorted(self.scores, scores, side="left")
        beyond = np.maximum(scores - self.threshold, 0.0) / self.mean_excess
        far = self.count / n * (1.0 + beyond / self.windows) ** -self.windows
        return np.where(scores > self.threshold, far, (reached + 1) / (n + 1))
