"""The co-occurrence graph: labels are vertices, and an edge is as strong as rows hold both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from services.audit.domain.errors import InvalidParameters, MalformedCounts, TooLargeForExact
from services.audit.domain.rows import LabelRows

MOST_PAIRS = 50_000_000
"""Of labels that meet: their counts take some four gigabytes while they are made."""
_CHUNK_PAIRS = 32_000_000


@dataclass(frozen=True, eq=False)
class CooccurrenceGraph:
    """How often labels meet, and which of them meet often enough to be neighbours (section E.1).

    The paper's algorithm 1 loops over labels where its text loops over rows; rows are meant.
    """

    names: tuple[str, ...]
    counts: csr_array
    """[L, L] int64, symmetric, diagonal zero: rows that hold both labels."""
    label_counts: NDArray[np.int64] | None
    """[L] rows that hold each label; None where only the matrix is known."""
    min_overlaps: int
    """Two labels are neighbours when at least so many rows hold both."""

    @classmethod
    def from_rows(cls, rows: LabelRows, min_overlaps: int) -> Self:
        """Count the co-occurrences of rows, a bounded number of rows at a time.

        Raises:
            TooLargeForExact: so many labels meet that there is no memory for their counts.
        """
        total = csr_array((len(rows.names), len(rows.names)), dtype=np.int64)
        for first, last in _chunks(rows.offsets):
            total = total + _product(rows, first, last)
            if total.nnz > MOST_PAIRS:
                raise TooLargeForExact(
                    f"more than {MOST_PAIRS:,} pairs of labels meet, which takes gigabytes: leave "
                    "labels that few rows hold out of the lists, or audit fewer rows"
                )
        return cls(rows.names, _without_diagonal(total), rows.label_counts, _positive(min_overlaps))

    @classmethod
    def from_matrix(
        cls,
        names: Sequence[str],
        counts: NDArray[np.integer],
        min_overlaps: int,
        label_counts: NDArray[np.int64] | None = None,
    ) -> Self:
        """Take counts that someone else made.

        Args:
            names: [L]
            counts: [L, L]; a diagonal that is not zero is taken for `label_counts`.
            min_overlaps: two labels are neighbours from so many rows on.
            label_counts: [L] rows that hold each label, where known.

        Raises:
            MalformedCounts: not square, not symmetric, negative, not one row a name, or a label
                meets another in more rows than hold it.
        """
        _check_counts(names, counts)
        diagonal = counts.diagonal().astype(np.int64)
        known = diagonal if label_counts is None and diagonal.any() else label_counts
        if known is not None:
            _check_held(names, counts, known)
        matrix = _without_diagonal(csr_array(counts.astype(np.int64)))
        return cls(tuple(names), matrix, known, _positive(min_overlaps))

    @cached_property
    def edges(self) -> csr_array:
        """[L, L] int64: the counts of neighbours, symmetric; what is no edge is not stored."""
        kept = self.counts.copy()
        kept.data[kept.data < self.min_overlaps] = 0
        kept.eliminate_zeros()
        return kept

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """[L] neighbours of each label."""
        ends: NDArray[np.int64] = np.asarray(self.edges.indptr, dtype=np.int64)
        return ends[1:] - ends[:-1]

    def overlaps_with(self, label: int) -> NDArray[np.int64]:
        """[L] the rows that hold both this label and each other one."""
        row: NDArray[np.int64] = self.counts[[label]].toarray()[0]
        return row

    def overlaps_among(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n, n] the rows that hold both, among n labels."""
        dense: NDArray[np.int64] = self.counts[labels][:, labels].toarray()
        return dense


def _positive(min_overlaps: int) -> int:
    if min_overlaps < 1:
        raise InvalidParameters("min_overlaps must be at least 1", field="min_overlaps")
    return min_overlaps


def _chunks(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut the rows where a multiple of the chunk's size of pairs is passed."""
    pairs = np.diff(offsets) ** 2
    if pairs.max(initial=0) > MOST_PAIRS:
        row = int(pairs.argmax())
        raise TooLargeForExact(
            f"row {row} holds {offsets[row + 1] - offsets[row]:,} labels, and all of their pairs "
            "take gigabytes: leave such rows out, or give each part of one a row"
        )
    passed = np.concatenate([[0], np.cumsum(pairs)])
    marks = np.arange(_CHUNK_PAIRS, int(passed[-1]), _CHUNK_PAIRS)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(passed, marks), [len(offsets) - 1]]))
    return [(int(first), int(last)) for first, last in pairwise(cuts)]


def _product(rows: LabelRows, first: int, last: int) -> csr_array:
    start, stop = rows.offsets[first], rows.offsets[last]
    incidence = csr_array(
        (
            np.ones(stop - start, np.int64),
            rows.ids[start:stop],
            rows.offsets[first : last + 1] - start,
        ),
        shape=(last - first, len(rows.names)),
    )
    return csr_array(incidence.T @ incidence)


def _without_diagonal(counts: csr_array) -> csr_array:
    entries = counts.tocoo()
    apart = entries.row != entries.col
    result = csr_array(
        (entries.data[apart], (entries.row[apart], entries.col[apart])), shape=counts.shape
    )
    result.eliminate_zeros()
    result.sort_indices()
    return result


def _check_counts(names: Sequence[str], counts: NDArray[np.integer]) -> None:
    if counts.shape != (len(names), len(names)):
        raise MalformedCounts(
            f"counts must be square with one row a name, [{len(names)}, {len(names)}], "
            f"not {list(counts.shape)}",
            field="counts",
        )
    if (counts < 0).any():
        i, j = np.argwhere(counts < 0)[0]
        raise MalformedCounts(
            f"{names[i]!r} and {names[j]!r} are counted {counts[i, j]} times: counts are not "
            "negative",
            field="counts",
        )
    if (counts != counts.T).any():
        i, j = np.argwhere(counts != counts.T)[0]
        raise MalformedCounts(
            f"{names[i]!r} with {names[j]!r} is {counts[i, j]}, the other way {counts[j, i]}: "
            "counts must be symmetric",
            field="counts",
        )


def _check_held(names: Sequence[str], counts: NDArray[np.integer], held: NDArray[np.int64]) -> None:
    most = np.where(np.eye(len(names), dtype=np.bool_), 0, counts)
    wrong = np.flatnonzero(most.max(axis=1, initial=0) > held)
    if len(wrong):
        label = int(wrong[0])
        other = int(most[label].argmax())
        raise MalformedCounts(
            f"{held[label]} rows hold {names[label]!r}, and {most[label, other]} hold it together "
            f"with {names[other]!r}: a label with itself counts all rows that hold it; leave such "
            "pairs out where that is not known",
            field="counts",
        )
