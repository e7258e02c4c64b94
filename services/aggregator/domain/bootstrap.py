"""Standard errors of importances without drawing a single resample.

A bootstrap resample draws N_c considered and N_d displayed examples with replacement, each from its
own population. What it does to one feature depends on few random numbers:

* the entries that it draws from population P: k_P ~ Binomial(N_P, n_P / N_P), with n_P the
  population's non-zero entries; they give the resample's coverage;
* where their median falls. With all weights equal that is exact: the median of k uniform draws is
  Beta((k + 1) / 2, (k + 1) / 2) for odd k and the mean of two adjacent order statistics for even k,
  and the entry at that quantile is what the resample would have had.

With unequal weights u_P it is first-order exact (Bahadur): let F_P be the share of population P's
entries up to the weighted median. A resample holds the share

    s = sum_P u_P k_P F_P / sum_P u_P k_P   with variance   v = sum_P u_P^2 k_P F_P (1 - F_P)
                                                                / (sum_P u_P k_P)^2

of its entries' weight there, given k_c and k_d. So its median falls at the quantile 1/2 - (s - 1/2)
of the window's own entries, with variance v: we draw Beta((m + 1) / 2, (m + 1) / 2) with
m = 1 / (4 v), the number of equal draws whose median varies as much, and move it by 1/2 - s.

Nothing of this asks for resamples of the window's own size: those of any other size tell what the
standard error would be with so many examples.

One sort of a column thus serves any number of resamples. `tests` hold both against resamples drawn
one by one.
"""

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.gfi import Column, Columns, Weights


class BeyondKeys(Exception):
    """A resample's median lies in a part of its column that was left out."""


def standard_errors(columns: Columns, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return the bootstrap standard error of each feature's importance, float64 [M].

    A feature without entries has none: every resample of it is zero.
    """
    errors = [standard_error(c, resamples, seed, j) for j, c in enumerate(columns)]
    return np.array(errors, dtype=np.float64)


def standard_error(column: Column, resamples: int, seed: int, feature: int) -> float:
    """Return one feature's; its place seeds its draws, so that they do not hang on the others'.

    Raises:
        BeyondKeys: the column has not enough of its middle.
    """
    if not column.entry_count:
        return 0.0
    rng = np.random.default_rng([seed, feature])
    return float(resampled_importances(column, resamples, rng).std(ddof=1))


def resampled_importances(
    column: Column, resamples: int, rng: np.random.Generator, size: Weights | None = None
) -> NDArray[np.float64]:
    """Return the importance in each of the resamples of a column with entries, float64 [resamples].

    Each draws as many examples of each population as the window has, or as `size` says.

    Raises:
        BeyondKeys: the column has not enough of its middle.
    """
    window, size = column.weights, size or column.weights
    shares = (
        column.considered_count / max(window.considered_count, 1),
        column.displayed_count / max(window.displayed_count, 1),
    )
    considered = rng.binomial(size.considered_count, shares[0], resamples)
    displayed = rng.binomial(size.displayed_count, shares[1], resamples)
    if size.are_mixed:
        medians = _mixed_medians(column, size, considered, displayed, rng)
    else:
        medians = _equal_medians(column, considered + displayed, rng)
    weight = considered * float(size.considered) + displayed * float(size.displayed)
    return np.where(weight > 0, weight / size.total * medians, 0.0)


def _equal_medians(
    column: Column, drawn: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    half = np.maximum(drawn // 2, 1)
    is_odd = drawn % 2 == 1
    low = rng.beta(np.where(is_odd, drawn // 2 + 1, half), drawn // 2 + 1)
    # The smallest of the `half` uniform draws above the lower of the two in the middle.
    high = 1 - (1 - low) * rng.random(len(drawn)) ** (1 / half)
    lower, upper = _at(column, low), _at(column, np.where(is_odd, low, high))
    return (lower + upper) / 2


def _mixed_medians(
    column: Column,
    size: Weights,
    considered: NDArray[np.int64],
    displayed: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    share_considered, share_displayed = _shares_below_median(column)
    weighted_considered = considered * float(size.considered)
    weighted_displayed = displayed * float(size.displayed)
    total = np.maximum(weighted_considered + weighted_displayed, 1.0)
    below = (weighted_considered * share_considered + weighted_displayed * share_displayed) / total
    variance = (
        weighted_considered * size.considered * share_considered * (1 - share_considered)
        + weighted_displayed * size.displayed * share_displayed * (1 - share_displayed)
    ) / total**2
    shape = (0.25 / np.maximum(variance, 1e-12) + 1) / 2
    quantiles = rng.beta(shape, shape) + 0.5 - below
    ends = np.concatenate(([column.weights.of(*column.below)], column.cumulative))
    return _values_at(column, np.searchsorted(ends, quantiles * column.weight) - 1)


def _shares_below_median(column: Column) -> tuple[float, float]:
    """Return each population's share of entries up to the weighted median, the middle half in."""
    lower, upper = column.middle
    entries = np.diff(column.ranks, prepend=sum(column.below))
    middle = slice(lower, upper + 1)
    below = sum(column.below) + float(entries[:lower].sum() + entries[middle].sum() / 2)
    displayed = column.displayed
    of_displayed = float(displayed[:lower].sum() + displayed[middle].sum() / 2) + column.below[1]
    return (
        (below - of_displayed) / max(column.considered_count, 1),
        of_displayed / max(column.displayed_count, 1),
    )


def _at(column: Column, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = (quantiles * column.entry_count).astype(np.int64)
    if column.counts is None:
        return _values_at(column, ranks - sum(column.below))
    return _values_at(column, np.searchsorted(column.ranks, ranks, "right"))


def _values_at(column: Column, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    is_below = sum(column.below) and positions.min() < 0
    if is_below or (sum(column.above) and positions.max() >= len(column.keys)):
        raise BeyondKeys
    keys = column.keys[np.clip(positions, 0, len(column.keys) - 1)]
    return (keys >> np.uint32(1)).view(np.float32).astype(np.float64)
