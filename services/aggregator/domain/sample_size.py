"""How many examples a window needs for every feature's standard error to be under a tolerance.

The bootstrap of a window at another size tells the standard error e_j(N) that feature j would have
with N examples, half of them of each population where the window has both. It falls with N, about
as 1 / sqrt(N): N_j = N_0 (e_j(N_0) / tolerance)^2 is where the search begins, and bisection ends
it. The answer is the largest N_j, held against every feature at last.

Reference: Vishnampet et al., section on choosing N; there one resample at a time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.bootstrap import resampled_importances
from services.aggregator.domain.errors import InvalidTolerance
from services.aggregator.domain.gfi import Column, Columns, Weights

LARGEST = 10**9
"""No window holds more examples."""
_RESOLUTION = 1.01
_REFINED = 10
"""Features whose size is searched for in any case: a person wants to see the next ones too."""


def needed_sizes(
    columns: Columns, tolerance: float, resamples: int, seed: int
) -> NDArray[np.int64]:
    """Return the smallest size, within 1 %, that suits each feature, int64 [M].

    Of features that demand far less than the most demanding ones, the square root's estimate.

    Raises:
        InvalidTolerance: more than a billion examples would be needed.
    """
    search = _Search(list(columns), tolerance, resamples, seed)
    errors = search.errors(search.window)
    sizes = scaled_sizes(errors, columns.weights, tolerance)
    for position in np.argsort(-sizes, kind="stable")[:_REFINED].tolist():
        sizes[position] = search.refined(position, int(sizes[position]))
    while len(worst := np.flatnonzero(search.errors(int(sizes.max())) >= tolerance)):
        for position in worst.tolist():
            sizes[position] = search.refined(position, int(sizes.max()))
    return sizes


def scaled_sizes(
    errors: NDArray[np.float64], weights: Weights, tolerance: float
) -> NDArray[np.int64]:
    """Return the sizes at which errors would meet the tolerance by the square root, int64 [M].

    `errors` float64 [M] are those of a window with `weights`.

    Raises:
        InvalidTolerance: more than a billion examples would be needed.
    """
    sizes = np.ceil(_balanced(weights) * np.square(errors / tolerance))
    _check_size(float(sizes.max(initial=0.0)))
    return np.maximum(sizes, _least(weights)).astype(np.int64)


class _Search:
    def __init__(
        self, columns: Sequence[Column], tolerance: float, resamples: int, seed: int
    ) -> None:
        self._columns = columns
        self._tolerance = tolerance
        self._resamples = resamples
        self._seed = seed
        self._weights = columns[0].weights
        self.window = max(round(_balanced(self._weights)), 1)
        """Size of a window that is as good as this one and has as many of each population."""

    def errors(self, size: int) -> NDArray[np.float64]:
        """Return all features' standard errors at a size."""
        return np.array([self._error(j, size) for j in range(len(self._columns))])

    def refined(self, position: int, guess: int) -> int:
        """Return the smallest size at which a feature's error is under the tolerance."""
        least = _least(self._weights)
        lower, upper = least - 1, max(guess, least)
        while self._error(position, upper) >= self._tolerance:
            lower, upper = upper, 2 * upper
            _check_size(upper)
        while upper - lower > 1 and upper > lower * _RESOLUTION:
            middle = min(max(round((lower * upper) ** 0.5), lower + 1), upper - 1)
            if self._error(position, middle) < self._tolerance:
                upper = middle
            else:
                lower = middle
        return upper

    def _error(self, position: int, size: int) -> float:
        column = self._columns[position]
        if not len(column.keys):
            return 0.0
        # The same draws at every size: the error falls with the size, without noise in between.
        rng = np.random.default_rng((self._seed, position))
        sized = _sized(self._weights, size)
        return float(resampled_importances(column, self._resamples, rng, sized).std(ddof=1))


def _sized(weights: Weights, size: int) -> Weights:
    """Return so many examples of the populations that a window has, half of each if it has both."""
    if weights.are_mixed:
        return Weights(-(-size // 2), -(-size // 2))
    return Weights(size if weights.considered_count else 0, size if weights.displayed_count else 0)


def _balanced(weights: Weights) -> float:
    """Return how many examples in equal parts give the errors that a window's counts give.

    The mean of two populations' means varies by (1 / N_c + 1 / N_d) / 4.
    """
    if not weights.are_mixed:
        return float(weights.considered_count + weights.displayed_count)
    return 4 / (1 / weights.considered_count + 1 / weights.displayed_count)


def _least(weights: Weights) -> int:
    return 2 if weights.are_mixed else 1


def _check_size(size: float) -> None:
    if size > LARGEST:
        raise InvalidTolerance(
            f"more than {LARGEST:,} examples would be needed: allow for a larger standard error",
            field="tolerance",
        )
