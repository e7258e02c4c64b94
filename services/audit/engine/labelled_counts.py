"""From rows with outcomes to how often each label goes with each outcome."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.errors import InvalidParameters
from services.audit.domain.snapshot import LabelledRows, Outcomes
from services.audit.engine.concentration import LabelledCounts

_MOST_CELLS = 20_000_000
"""Pairs of a label and an outcome: what is computed of them takes two gigabytes."""


def count_outcomes(
    labelled: LabelledRows, names: Sequence[str], outcome_names: Sequence[str]
) -> LabelledCounts:
    """Count rows by label and outcome; labels and outcomes that are not named are left out.

    Args:
        labelled: rows, with outcomes.
        names: [L] labels that are counted.
        outcome_names: [C]

    Returns:
        counts [L, C], totals [C].

    Raises:
        InvalidParameters: the rows have no outcomes, or more than can be counted.
    """
    outcomes = _outcomes(labelled)
    if len(names) * len(outcome_names) > _MOST_CELLS:
        raise InvalidParameters(
            f"{len(outcome_names):,} outcomes of {len(names):,} labels are too many to count: is "
            "the outcome column an id? Name one with few values, or none",
            field="snapshot.rows.outcome_column",
        )
    rows = labelled.rows
    label_at = _positions(rows.names, names)[rows.ids]
    outcome_at = _positions(outcomes.names, outcome_names)[outcomes.codes]
    held_with = outcome_at[rows.row_of_entry]
    known = (label_at >= 0) & (held_with >= 0)
    cells = label_at[known] * len(outcome_names) + held_with[known]
    counts = np.bincount(cells, minlength=len(names) * len(outcome_names))
    totals = np.bincount(outcome_at[outcome_at >= 0], minlength=len(outcome_names))
    return LabelledCounts(
        counts.reshape(len(names), len(outcome_names)).astype(np.int64), totals.astype(np.int64)
    )


def added_up(parts: Sequence[LabelledCounts], shape: tuple[int, int]) -> LabelledCounts:
    """Return the sum of counts [L, C]; zeros where there are none."""
    counts, totals = np.zeros(shape, np.int64), np.zeros(shape[1], np.int64)
    for part in parts:
        counts += part.counts
        totals += part.class_totals
    return LabelledCounts(counts, totals)


def _outcomes(labelled: LabelledRows) -> Outcomes:
    if labelled.outcomes is None:
        raise InvalidParameters(
            "concentration against the past takes outcomes of both: name the outcome column of "
            "every snapshot",
            field="parameters.concentration.past",
        )
    return labelled.outcomes


def _positions(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return the position of each name among the wanted ones, -1 where it is none."""
    at = {name: position for position, name in enumerate(wanted)}
    return np.array([at.get(name, -1) for name in names], dtype=np.int64)
