"""A trigger's classes among more classes, as they would be in use (appendix D)."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.errors import InvalidParameters
from services.audit.domain.rows import LabelRows
from services.audit.engine.poisonable import PoisonableSubset


@dataclass(frozen=True, eq=False)
class LargerSet:
    """Classes to poison, classes beside them, and the rows that may be used."""

    poisoned: NDArray[np.int64]
    """[P] labels."""
    added: NDArray[np.int64]
    """[A] labels."""
    rows: NDArray[np.int64]
    """[R] rows that hold exactly one of all these classes."""


def from_independent_set(
    rows: LabelRows, subset: PoisonableSubset, *, poisoned: int, added: int, seed: int
) -> LargerSet:
    """Draw both kinds of classes from the trigger's own set.

    Raises:
        InvalidParameters: the set has too few classes.
    """
    drawn = _draw(subset.classes, poisoned + added, "classes of the set", seed)
    return _with_single_rows(rows, drawn[:poisoned], drawn[poisoned:])


def from_random_classes(
    rows: LabelRows,
    subset: PoisonableSubset,
    *,
    poisoned: int,
    added: int,
    seed: int,
    excluded: Collection[int] = (),
) -> LargerSet:
    """Draw the added classes from all labels, and prune the rows in which classes meet.

    Raises:
        InvalidParameters: there are too few classes.
    """
    held = np.flatnonzero(rows.label_counts)
    taken = [*subset.classes.tolist(), subset.trigger, *excluded]
    others = np.setdiff1d(held, np.array(taken, dtype=np.int64))
    first = _draw(subset.classes, poisoned, "classes of the set", seed)
    return _with_single_rows(rows, first, _draw(others, added, "other labels", seed + 1))


def _draw(labels: NDArray[np.int64], count: int, what: str, seed: int) -> NDArray[np.int64]:
    if count > len(labels):
        raise InvalidParameters(f"{count} {what} are asked for, there are {len(labels)}")
    return np.random.default_rng(seed).choice(labels, count, replace=False)


def _with_single_rows(
    rows: LabelRows, poisoned: NDArray[np.int64], added: NDArray[np.int64]
) -> LargerSet:
    is_class = np.zeros(len(rows.names), np.int64)
    is_class[poisoned] = is_class[added] = 1
    held = np.bincount(rows.row_of_entry, weights=is_class[rows.ids], minlength=rows.row_count)
    return LargerSet(poisoned, added, np.flatnonzero(held == 1))
