"""Rows with sets of labels: objects of images, or ids in the lists of a click model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.errors import MalformedLabels, NoMultiLabelRows, UnknownLabel


@dataclass(frozen=True, eq=False)
class LabelRows:
    """The labels of each row, sparse.

    Raises:
        MalformedLabels: offsets or ids contradict each other, or a row holds a label twice.
        NoMultiLabelRows: no row holds two labels.
    """

    names: tuple[str, ...]
    """[L] by label id, each once."""
    offsets: NDArray[np.int64]
    """[N + 1], rising from 0: row i holds `ids[offsets[i]:offsets[i + 1]]`."""
    ids: NDArray[np.int32]
    """[entries], each in [0, L); no id twice in a row."""

    def __post_init__(self) -> None:
        _check_names(self.names)
        _check_offsets(self.offsets, len(self.ids))
        _check_ids(self)

    @classmethod
    def of(cls, names: Sequence[str], rows: Sequence[Sequence[int]]) -> Self:
        """Return the rows given as lists of label ids."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        ids = np.array([label for row in rows for label in row], dtype=np.int32)
        return cls(tuple(names), offsets, ids)

    @property
    def row_count(self) -> int:
        """N."""
        return len(self.offsets) - 1

    @cached_property
    def row_of_entry(self) -> NDArray[np.int64]:
        """[entries] the row that holds each entry."""
        return np.arange(self.row_count, dtype=np.int64).repeat(np.diff(self.offsets))

    @cached_property
    def label_counts(self) -> NDArray[np.int64]:
        """[L] the number of rows that hold each label."""
        return np.bincount(self.ids, minlength=len(self.names)).astype(np.int64)

    def label(self, name: str) -> int:
        """Return the id of a label that some row holds.

        Raises:
            UnknownLabel: no label has that name, or no row holds it.
        """
        try:
            label = self.names.index(name)
        except ValueError:
            raise UnknownLabel(f"no label is named {name!r}: check its spelling") from None
        if not self.label_counts[label]:
            raise UnknownLabel(f"label {name!r} is named, but no row holds it")
        return label

    def rows_with(self, label: int) -> NDArray[np.int64]:
        """[rows] those that hold the label, rising."""
        rows: NDArray[np.int64] = self.row_of_entry[self.ids == label]
        return rows


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise NoMultiLabelRows("no row holds a label: co-occurrence needs rows with several")
    if len(set(names)) != len(names):
        twice = max(names, key=Counter(names).__getitem__)
        raise MalformedLabels(f"label {twice!r} is named twice: name each once", field="names")


def _check_offsets(offsets: NDArray[np.int64], entries: int) -> None:
    well_formed = len(offsets) >= 1 and offsets[0] == 0 and offsets[-1] == entries
    if not well_formed or bool((np.diff(offsets) < 0).any()):
        raise MalformedLabels(
            f"offsets must rise from 0 to the number of entries, {entries}", field="offsets"
        )


def _check_ids(rows: LabelRows) -> None:
    count = len(rows.names)
    outside = np.flatnonzero((rows.ids < 0) | (rows.ids >= count))
    if len(outside):
        at = outside[0]
        raise MalformedLabels(
            f"row {rows.row_of_entry[at]} holds id {rows.ids[at]}, outside [0, {count})",
            field="ids",
        )
    pairs = np.sort(rows.row_of_entry * count + rows.ids)
    twice = pairs[1:][np.diff(pairs) == 0]
    if len(twice):
        row, label = divmod(int(twice[0]), count)
        raise MalformedLabels(
            f"row {row} holds label {rows.names[label]!r} twice: a row is a set of labels",
            field="ids",
        )
    if not (np.diff(rows.offsets) > 1).any():
        raise NoMultiLabelRows(
            "no row holds two labels: co-occurrence needs rows with several", field="ids"
        )
