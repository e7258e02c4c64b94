"""Snapshots in Parquet files under allowed roots."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import softmax

from services.audit.adapters.arrow_parts import stream_of
from services.audit.adapters.parquet_columns import (
    Lists,
    check_unique,
    counts_of,
    encoded,
    lists_of,
    numbers_of,
    texts_of,
)
from services.audit.domain.errors import MalformedCounts, MalformedLabels, SnapshotRefused
from services.audit.domain.parameters import LabelCountsFile, LabelRowsFile, ThresholdParameters
from services.audit.domain.rows import LabelRows
from services.audit.domain.snapshot import LabelCounts, LabelledRows, Outcomes, ScoredLabels

_MOST_COUNTED_LABELS = 10_000
"""A dense matrix of more would take a gigabyte."""


class ParquetSnapshots:
    """A SnapshotSource over Parquet files. No code in them is run."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Read from under `roots`."""
        self._roots = [root.resolve() for root in roots]

    def check(self, file: str, columns: Sequence[str] = ()) -> None:
        """Check that a file may be read, is there and has some columns."""
        self._check_columns(file, columns)

    def rows(self, file: LabelRowsFile) -> LabelledRows:
        """Read rows of labels."""
        columns = [file.row_id_column, file.labels_column]
        outcome = file.outcome_column
        table = self._table(file.file, columns + ([outcome] if outcome else []))
        check_unique(table.column(file.row_id_column), file.row_id_column)
        held = lists_of(table.column(file.labels_column), file.labels_column)
        names, codes = encoded(held.values, file.labels_column)
        rows = LabelRows(names, held.offsets, codes.astype(np.int32))
        if not outcome:
            return LabelledRows(rows, None)
        return LabelledRows(rows, Outcomes(*encoded(table.column(outcome), outcome)))

    def counts(self, file: LabelCountsFile) -> LabelCounts:
        """Read co-occurrence counts."""
        columns = [file.label_column, file.other_column, file.count_column]
        table = self._table(file.file, columns)
        ends = [texts_of(table.column(name), name) for name in columns[:2]]
        both = pa.chunked_array([*ends[0].chunks, *ends[1].chunks])
        names, codes = encoded(both, file.label_column)
        if len(names) > _MOST_COUNTED_LABELS:
            raise MalformedCounts(
                f"{len(names)} labels are counted, and a matrix may have {_MOST_COUNTED_LABELS}: "
                "give the rows, which have no such limit"
            )
        left, right = codes[: len(table)], codes[len(table) :]
        _check_once(names, left, right)
        matrix = np.zeros((len(names), len(names)), np.int64)
        matrix[left, right] = counts_of(table.column(file.count_column), file.count_column)
        return LabelCounts(names, matrix)

    def scores(self, parameters: ThresholdParameters) -> ScoredLabels:
        """Read a machine's labels and a person's."""
        names = [parameters.labels_column, parameters.scores_column, parameters.truth_column]
        table = self._table(parameters.file, names)
        named, scored, true = (lists_of(table.column(name), name) for name in names)
        if not np.array_equal(named.offsets, scored.offsets):
            row = int(np.argmax(np.diff(named.offsets) != np.diff(scored.offsets)))
            raise MalformedLabels(f"row {row}: there must be one score for each label")
        values = numbers_of(scored.values, parameters.scores_column).astype(np.float64)
        if parameters.are_logits:
            parts = np.split(values, scored.offsets[1:-1])
            values = np.concatenate([softmax(part) if len(part) else part for part in parts])
        elif len(values) and not 0 <= values.min() <= values.max() <= 1:
            raise MalformedLabels(
                f"{parameters.scores_column} are from {values.min():g} to {values.max():g}: scores "
                "are in [0, 1]; say so if they are logits"
            )
        if not len(named.values) and not len(true.values):
            raise MalformedLabels(f"{parameters.file}: no row has a label, by machine or person")
        labels = texts_of(named.values, names[0]), texts_of(true.values, names[2])
        return _paired(named, true, labels, values)

    def examples(self, file: str, count: int, without: Sequence[str] = ()) -> bytes:
        """Return the first examples as an Arrow IPC stream, without some columns."""
        kept = [name for name in self._names(file) if name not in without]
        return stream_of(self._first(file, kept, count))

    def masks(self, file: str, column: str, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the masks of the first examples, [N, height, width]."""
        count, height, width = shape
        held = lists_of(self._first(file, [column], count).column(column), column)
        if (np.diff(held.offsets) != height * width).any():
            raise SnapshotRefused(
                f"{file}: {column!r} must hold lists of {height} x {width} elements"
            )
        return numbers_of(held.values, column).astype(np.bool_).reshape(-1, height, width)

    def _path(self, file: str) -> Path:
        """Return where a file lies, all links followed, if that is under an allowed root."""
        try:
            path = Path(file).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise SnapshotRefused(f"{file!r} leads to no file: {error}") from error
        if not any(path.is_relative_to(root) for root in self._roots):
            raise SnapshotRefused(
                f"{file} lies outside of the service's snapshot roots: put it under one of them"
            )
        if not path.is_file():
            raise SnapshotRefused(f"{file} is not a file")
        return path

    def _names(self, file: str) -> list[str]:
        """Return the names of a file's columns."""
        try:
            return list(pq.read_schema(self._path(file)).names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise SnapshotRefused(f"{file} is not a Parquet file: {error}") from error

    def _check_columns(self, file: str, columns: Sequence[str]) -> None:
        known = Counter(self._names(file))
        for column in columns:
            if column not in known:
                raise SnapshotRefused(
                    f"{file} has no column {column!r}: it has {', '.join(map(repr, known))}"
                )
            if known[column] > 1:
                raise SnapshotRefused(f"{file} has two columns {column!r}: rename one")
        if len(set(columns)) < len(columns):
            raise SnapshotRefused(f"{', '.join(columns)}: each takes a column of its own")

    def _table(self, file: str, columns: Sequence[str]) -> pa.Table:
        self._check_columns(file, columns)
        try:
            # Not as a data set: folders named like `day=1` would add columns.
            with pq.ParquetFile(self._path(file)) as parquet:
                table = parquet.read(columns=list(columns))
        except MemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise SnapshotRefused(f"{file} cannot be read: {error}") from error
        if not len(table):
            raise SnapshotRefused(f"{file} holds no row")
        return table

    def _first(self, file: str, columns: Sequence[str], count: int) -> pa.Table:
        self._check_columns(file, columns)
        try:
            with pq.ParquetFile(self._path(file)) as parquet:
                batches = parquet.iter_batches(batch_size=count, columns=list(columns))
                batch = next(batches, None)
        except MemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise SnapshotRefused(f"{file} cannot be read: {error}") from error
        if batch is None:
            raise SnapshotRefused(f"{file} holds no row")
        return pa.Table.from_batches([batch])


def _check_once(names: Sequence[str], left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
    cells = np.sort(left * len(names) + right)
    twice = cells[1:][np.diff(cells) == 0]
    if len(twice):
        i, j = divmod(int(twice[0]), len(names))
        raise MalformedCounts(f"{names[i]!r} with {names[j]!r} is counted twice: give one row each")


def _paired(
    named: Lists,
    true: Lists,
    labels: tuple[pa.ChunkedArray, pa.ChunkedArray],
    values: NDArray[np.float64],
) -> ScoredLabels:
    """Return a score and a truth for each (row, label) that the machine or the person named.

    `labels` are those of both as text.
    """
    both = pa.chunked_array([chunk for column in labels for chunk in column.chunks])
    names, codes = encoded(both, "labels")
    entries = len(named.values)
    machine = named.rows * len(names) + codes[:entries]
    person = true.rows * len(names) + codes[entries:]
    cells = np.union1d(machine, person)
    scores = np.zeros(len(cells))
    np.maximum.at(scores, np.searchsorted(cells, machine), values)
    return ScoredLabels(scores, np.isin(cells, person))
