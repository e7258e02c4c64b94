"""What is drilled: a checkpoint, and examples of it cut into windows of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clients.drill.errors import DrillError
from clients.drill.export import Release, read_manifest
from clients.drill.schema import Schema


class SubjectError(DrillError):
    """The examples cannot be drilled with the checkpoint."""


@dataclass(frozen=True)
class Slice:
    """The examples of one window.

    examples: one column a feature, perhaps others. displayed: bool [N], true where an example was
    shown, None where all are taken for considered ones.
    """

    examples: pa.Table
    displayed: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Subject:
    """A checkpoint with windows that it has not been trained on, oldest first."""

    name: str
    checkpoint: Path
    slices: Sequence[Slice]
    key: str | None = None
    """The column that says whose values a row has, for faults that are by key."""

    @cached_property
    def release(self) -> Release:
        """What the checkpoint is called."""
        return read_manifest(self.checkpoint)[0]

    @cached_property
    def schema(self) -> Schema:
        """The checkpoint's features."""
        return read_manifest(self.checkpoint)[1]


@dataclass(frozen=True)
class OwnColumns:
    """Which columns of a user's file say more than a feature's value."""

    time: str | None = None
    """Rows are put in its order; without it they are in order already."""
    population: str | None = None
    """'displayed' where an example was shown."""
    key: str | None = None


def subject_of_parquet(
    file: Path, checkpoint: Path, rows: int, most: int, columns: OwnColumns | None = None
) -> Subject:
    """The last `most` windows of `rows` examples in a file.

    Raises:
        SubjectError: the file lacks a column, or has too few rows for three windows.
        CheckpointError: the checkpoint cannot be read.
    """
    columns = columns or OwnColumns()
    schema = read_manifest(checkpoint)[1]
    extra = [name for name in (columns.time, columns.population, columns.key) if name]
    wanted = list(dict.fromkeys([*schema.names(), *extra]))
    try:
        missing = [name for name in wanted if name not in pq.read_schema(file).names]
        if missing:
            raise SubjectError(f"{file} has no column {', '.join(map(repr, missing[:5]))}")
        table = pq.read_table(file, columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise SubjectError(f"{file} cannot be read as Parquet: {error}") from error
    if columns.time:
        table = table.sort_by(columns.time)
    count = min(table.num_rows // rows, most)
    if count < 3:
        raise SubjectError(
            f"{file} has {table.num_rows} rows: three windows of {rows} are the least; pass fewer "
            "--rows"
        )
    table = table.slice(table.num_rows - count * rows).combine_chunks()
    slices = [
        _slice(table.slice(start, rows), columns.population)
        for start in range(0, count * rows, rows)
    ]
    return Subject(file.stem, checkpoint, slices, columns.key)


def _slice(examples: pa.Table, population: str | None) -> Slice:
    if population is None:
        return Slice(examples)
    shown = pc.equal(examples[population].cast(pa.string()), "displayed")
    return Slice(examples, pc.fill_null(shown, False).to_numpy())
