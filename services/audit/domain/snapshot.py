"""What a snapshot holds: rows with labels and outcomes, or counts that someone else made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.rows import LabelRows


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The class or the outcome of each row."""

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    """[N] position in the names."""


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows of labels, and their outcomes where they have some."""

    rows: LabelRows
    outcomes: Outcomes | None


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Co-occurrence counts."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    """[L, L]; the diagonal counts the rows of each label, or is zero where that is not known."""


@dataclass(frozen=True, eq=False)
class ScoredLabels:
    """Confidences of a machine, and whether a person agrees, by (row, label) that either named."""

    scores: NDArray[np.float64]
    """[pairs] in [0, 1]; 0 where the machine did not name the label."""
    truth: NDArray[np.bool_]
    """[pairs]"""
