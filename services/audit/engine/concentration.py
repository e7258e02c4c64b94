"""Whether the rows that hold an id lean to one class more than they did before.

A hub is opportunity; rows whose outcome an id decides are evidence. So each id is held against its
own past, and over all ids the share of false discoveries is controlled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, ndtri

_TINY = 1e-300
_HALF_STEP = 1e-16


@dataclass(frozen=True, eq=False)
class LabelledCounts:
    """How often each id goes with each class, in one snapshot."""

    counts: NDArray[np.int64]
    """[L, C] rows of class c that hold id l."""
    class_totals: NDArray[np.int64]
    """[C] rows of each class."""


@dataclass(frozen=True)
class Concentration:
    """How far the rows of an id lean to a class."""

    label: int
    class_index: int
    """The class to which they lean most beyond the past."""
    rows: int
    """Rows that hold the id now."""
    share: float
    """Of those, the share in the class."""
    expected_share: float
    """By the id's own past, moved as the classes as a whole moved."""
    z: float
    """The p-value in standard errors of a normal distribution, so that it can be compared."""
    p_value: float
    """Of a lean at least as strong, were all as in the past: one-sided, over the id's classes
    (Bonferroni)."""
    is_significant: bool
    """Survives the control of false discoveries over all ids."""


def concentrations(
    now: LabelledCounts, past: LabelledCounts, prior_rows: float, false_discovery_rate: float
) -> list[Concentration]:
    """Hold each id's lean against its own past.

    Args:
        now: [L, C] counts of the snapshot.
        past: of the snapshots before it, added up; an id without a past is held against the
            classes' shares.
        prior_rows: rows of class shares that are added to an id's past, so that ten rows of past
            are not taken for certain.
        false_discovery_rate: over ids (Benjamini and Hochberg).

    Returns:
        One for each id that rows hold, by falling z.
    """
    base_now = now.class_totals / max(1, now.class_totals.sum())
    base_past = past.class_totals / max(1, past.class_totals.sum())
    past_rows = past.counts.sum(axis=1, keepdims=True)
    prior = base_now if not past.class_totals.any() else base_past
    shares = (past.counts + prior_rows * prior) / (past_rows + prior_rows)
    expected = _moved(shares, prior, base_now)
    rows = now.counts.sum(axis=1)
    held = np.flatnonzero(rows)
    certainty = _certainty(shares, expected, past_rows + prior_rows)
    tails = _tails(now.counts[held], rows[held], expected[held], certainty[held])
    leaning = tails.argmin(axis=1)
    p_values = np.minimum(1.0, tails.min(axis=1, initial=1.0) * tails.shape[1])
    z = -ndtri(np.minimum(p_values, 1.0 - _HALF_STEP))
    significant = _benjamini_hochberg(p_values, false_discovery_rate)
    found = [
        Concentration(
            label=int(label),
            class_index=int(c),
            rows=int(rows[label]),
            share=float(now.counts[label, c] / rows[label]),
            expected_share=float(expected[label, c]),
            z=float(z[i]),
            p_value=float(p_values[i]),
            is_significant=bool(significant[i]),
        )
        for i, (label, c) in enumerate(zip(held, leaning, strict=True))
    ]
    return sorted(found, key=lambda concentration: (-concentration.z, concentration.label))


def _moved(
    shares: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move shares as the classes moved, so that a class which grew everywhere accuses no id."""
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.where(before > 0, after / before, 1.0)
    moved = shares * growth
    total = moved.sum(axis=1, keepdims=True)
    return np.where(total > 0, moved / np.where(total > 0, total, 1.0), shares)


def _certainty(
    shares: NDArray[np.float64], expected: NDArray[np.float64], past_rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how many rows an expected share is worth.

    Classes that grow multiply odds, and the error of a share with them.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = shares * (1.0 - shares) / (expected * (1.0 - expected))
    return past_rows * np.where(np.isfinite(kept) & (kept > 0), kept, 1.0)


def _tails(
    counts: NDArray[np.int64],
    rows: NDArray[np.int64],
    expected: NDArray[np.float64],
    certainty: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the probability of at least so many rows of a class, were the share the expected.

    The expected share is itself uncertain, by the rows that it is worth. That spreads a count as if
    there were fewer rows; the tail is that of a binomial over so many, which need not be a whole
    number. A normal tail would flag rare ids, whose counts lean to the right by nature.
    """
    spread = 1.0 + (rows[:, None] - 1.0) / (certainty + 1.0)
    effective_rows = rows[:, None] / spread
    effective_counts = counts / spread
    tails = betainc(
        np.maximum(effective_counts, _TINY), effective_rows - effective_counts + 1.0, expected
    )
    return np.clip(np.where(counts > 0, tails, 1.0), _TINY, 1.0)


def _benjamini_hochberg(p_values: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    if not len(p_values):
        return np.zeros(0, np.bool_)
    order = np.argsort(p_values, kind="stable")
    limits = rate * np.arange(1, len(order) + 1) / len(order)
    passing = np.flatnonzero(p_values[order] <= limits)
    threshold = p_values[order][passing[-1]] if len(passing) else -1.0
    return p_values <= threshold
