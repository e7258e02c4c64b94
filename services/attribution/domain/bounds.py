"""Bounds of a share and of a median from a sample, for any distribution and any sample size.

Each fails with a probability of at most `exp(-surprise)`. They rest on Chernoff's bound: among n
draws of something that has probability p, a share of q or more (q > p), or of q or less (q < p),
comes up with a probability of at most exp(-n KL(q, p)). By Hoeffding (1963, section 6) that holds
for draws without replacement too.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 50


def coverage_bounds(
    counts: NDArray[np.int64], example_count: int, surprise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a lower and an upper bound of what `counts / example_count` estimates, [M] each."""
    share = counts / example_count

    def is_plausible(p: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(example_count * relative_entropy(share, p) <= surprise)

    below = _last(share, np.zeros_like(share), is_plausible)
    return below, _last(share, np.ones_like(share), is_plausible)


def median_ranks(counts: NDArray[np.int64], surprise: float) -> NDArray[np.int64]:
    """Return the ranks, from 1, of the order statistics that bound medians from above, [M].

    The r-th smallest of `counts` draws lies below the median of what they are drawn from hardly
    ever, nor does the r-th largest lie above it. Rank counts + 1: there are too few draws.
    """
    half = np.full(len(counts), 0.5)

    def is_plausible(q: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(counts * relative_entropy(q, half) < surprise)

    ranks = np.ceil(_last(half, np.ones_like(half), is_plausible) * counts)
    enough = counts * np.log(2) >= surprise
    return np.where(enough, np.minimum(ranks, counts), counts + 1).astype(np.int64)


def relative_entropy(q: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return KL(q, p) = q log(q / p) + (1 - q) log((1 - q) / (1 - p)) of two coins."""
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(q > 0, q * np.log(q / p), 0.0)
        tails = np.where(q < 1, (1 - q) * np.log((1 - q) / (1 - p)), 0.0)
    return np.asarray(heads + tails)


def _last(
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    is_inside: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Return the point up to which it holds on the way from `inside`, by bisection from outside."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        holds = is_inside(middle)
        inside, outside = np.where(holds, middle, inside), np.where(holds, outside, middle)
    return outside
