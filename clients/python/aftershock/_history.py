"""A Parquet file of logged examples, read window by window. Needs the extra `arrow`."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aftershock._errors import InvalidExamples
from aftershock._log import Population

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_POPULATIONS: tuple[Population, Population] = ("considered", "displayed")
_READ_BYTES = 16 * 1024 * 1024

Progress = Callable[[float], None]
"""Told the share of a file that is done."""


@dataclass(frozen=True)
class Columns:
    """Which columns of the file say what; a feature's column has the feature's name."""

    event_time: str
    """When each example was scored: a timestamp with a time zone."""
    population: str | None
    """Names each example's population; without it all have the one in `all_are`."""
    all_are: Population
    prediction: str | None
    """The logged prediction, with which a window's outcomes are reported; needs `label`."""
    label: str | None
    """1 where the event happened, 0 where it did not, null where that is not known."""

    @property
    def keys(self) -> list[str]:
        """The columns that place an example."""
        return [self.event_time] + ([self.population] if self.population else [])

    @property
    def outcomes(self) -> list[str]:
        """The columns that tell of outcomes."""
        return [self.prediction, self.label] if self.prediction and self.label else []


@dataclass
class Stretch:
    """What the file holds of one window."""

    start: datetime
    counts: dict[Population, int] = field(default_factory=lambda: {"considered": 0, "displayed": 0})
    row_groups: list[int] = field(default_factory=list)

    @property
    def example_count(self) -> int:
        """Examples of both populations."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Batch:
    """Examples of one row group, window and population."""

    batch_id: str
    """Equal whenever the same file is read again."""
    population: Population
    event_time: datetime
    """Of the earliest."""
    examples: pa.Table


@dataclass(frozen=True)
class Outcomes:
    """Expected and observed events among the examples of a window whose outcome is known."""

    expected: float
    observed: int


class History:
    """Reads no more than one row group at a time, so a file may be larger than memory.

    Rows may come in any order; one that is sorted by time is read once, any other once a window.
    """

    def __init__(
        self, path: Path, columns: Columns, features: Sequence[str], window: timedelta
    ) -> None:
        """Look at the file's schema.

        Raises:
            InvalidExamples: it is not Parquet, or lacks a column.
        """
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise InvalidExamples(f"{path} cannot be read as Parquet: {error}") from error
        self._path = path
        self._columns = columns
        self._features = list(features)
        self.window = window
        self._cached: tuple[int, pa.Table] | None = None
        self._check_columns()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._path.stat().st_size

    def digest(self, progress: Progress) -> str:
        """Return the SHA-256 of the file, in hexadecimal."""
        total, done, sha256 = self.size, 0, hashlib.sha256()
        with self._path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                sha256.update(part)
                done += len(part)
                progress(done / total)
        return sha256.hexdigest()

    def stretches(self, progress: Progress) -> list[Stretch]:
        """Return what the file holds of each window, oldest first: reads times and populations.

        Raises:
            InvalidExamples: a time or a population is missing or unknown.
        """
        found: dict[int, Stretch] = {}
        count = self._file.num_row_groups
        for group in range(count):
            windows, populations = self._places(self._read(group, self._columns.keys), group)
            for number, population, rows in _counted(windows, populations):
                stretch = found.setdefault(number, Stretch(self._start(number)))
                stretch.counts[population] += rows
                if group not in stretch.row_groups:
                    stretch.row_groups.append(group)
            progress((group + 1) / count)
        return [found[number] for number in sorted(found)]

    def batches(self, stretch: Stretch, digest: str) -> Iterator[Batch]:
        """Yield a window's examples with the features only; `digest` is the file's."""
        for group, table, windows, populations in self._parts(stretch):
            times = _micros(table[self._columns.event_time])
            for number, population in enumerate(_POPULATIONS):
                rows = np.flatnonzero((windows == self._number(stretch)) & (populations == number))
                if not len(rows):
                    continue
                yield Batch(
                    batch_id=f"{digest[:32]}/{group}/{rows[0]}-{rows[-1]}/{population}",
                    population=population,
                    event_time=_EPOCH + int(times[rows].min()) * _MICROSECOND,
                    examples=table.select(self._features).take(rows),
                )

    def outcomes(self, stretch: Stretch) -> Outcomes | None:
        """Return what was expected and observed in a window; None where no outcome is known."""
        expected, observed, known = 0.0, 0, 0
        for _, table, windows, _ in self._parts(stretch) if self._columns.outcomes else ():
            here = table.select(self._columns.outcomes).filter(windows == self._number(stretch))
            rows = here.drop_null()
            known += rows.num_rows
            expected += pc.sum(rows[self._columns.prediction]).as_py() or 0.0
            observed += int(pc.sum(rows[self._columns.label]).as_py() or 0)
        return Outcomes(expected, observed) if known else None

    def _parts(self, stretch: Stretch) -> Iterator[tuple[int, pa.Table, Any, Any]]:
        for group in stretch.row_groups:
            if self._cached is None or self._cached[0] != group:
                self._cached = None
                wanted = dict.fromkeys(self._columns.keys + self._columns.outcomes + self._features)
                self._cached = group, self._read(group, list(wanted))
            table = self._cached[1]
            yield group, table, *self._places(table, group)

    def _read(self, group: int, columns: list[str]) -> pa.Table:
        return self._file.read_row_group(group, columns=columns)

    def _places(self, table: pa.Table, group: int) -> tuple[Any, Any]:
        """Return the number of each row's window and of its population, both int64 [N]."""
        time = table[self._columns.event_time]
        if time.null_count:
            raise InvalidExamples(
                f"column {self._columns.event_time!r} has {time.null_count} nulls in row group "
                f"{group}: every example needs the time at which it was scored"
            )
        windows = _micros(time) // (self.window // _MICROSECOND)
        name = self._columns.population
        if name is None:
            return windows, np.full(len(windows), _POPULATIONS.index(self._columns.all_are))
        numbers = pc.index_in(table[name].cast(pa.string()), value_set=pa.array(_POPULATIONS))
        if numbers.null_count:
            odd = table[name].filter(numbers.is_null())[0]
            raise InvalidExamples(
                f"column {name!r} holds {odd} in row group {group}: a population is "
                "'considered' or 'displayed'"
            )
        return windows, numbers.to_numpy().astype(np.int64)

    def _check_columns(self) -> None:
        schema = self._file.schema_arrow
        wanted = self._columns.keys + self._columns.outcomes + self._features
        missing = [name for name in wanted if name not in schema.names]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise InvalidExamples(
                f"{self._path} has no column {', '.join(map(repr, missing[:5]))}{more}: it has "
                f"{len(schema.names)}, such as {', '.join(map(repr, schema.names[:5]))}"
            )
        kind = schema.field(self._columns.event_time).type
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            raise InvalidExamples(
                f"column {self._columns.event_time!r} is {kind}: it must be a timestamp with a "
                "time zone, such as timestamp[us, tz=UTC], or nobody knows when it was"
            )

    def _start(self, number: int) -> datetime:
        return _EPOCH + number * self.window

    def _number(self, stretch: Stretch) -> int:
        return (stretch.start - _EPOCH) // self.window


def _micros(times: pa.ChunkedArray) -> Any:
    """Return times as int64 microseconds since 1970."""
    whole = times.cast(pa.timestamp("us", times.type.tz), safe=False)
    return whole.cast(pa.int64()).to_numpy()


def _counted(windows: Any, populations: Any) -> Iterator[tuple[int, Population, int]]:
    pairs = np.stack([windows, populations], axis=1)
    places, rows = np.unique(pairs, axis=0, return_counts=True)
    for (window, population), count in zip(places.tolist(), rows.tolist(), strict=True):
        yield window, _POPULATIONS[population], count
