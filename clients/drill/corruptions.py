"""Faults of feature pipelines, applied to logged examples.

A corruption changes the columns of its culprits and nothing else; corruptions compose with `&`.
`paper_case` makes the eleven cases of Table 1 in R. Vishnampet et al.: "Root Causing Prediction
Anomalies Using Explainable AI", 2024.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clients.drill.columns import whole

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Corrupted:
    """A table as the broken pipeline logs it, and the features that broke."""

    table: pa.Table
    culprits: tuple[str, ...]


class Corruption(ABC):
    """Something that breaks one or more features."""

    @property
    @abstractmethod
    def culprits(self) -> tuple[str, ...]:
        """The names of the features that break."""

    @abstractmethod
    def _apply(self, table: pa.Table, rng: np.random.Generator) -> pa.Table:
        """The table with the culprits' columns broken."""

    def apply(self, table: pa.Table, seed: int = 0) -> Corrupted:
        """Breaks the culprits' columns. Which rows or ids are hit depends on `seed` only.

        A table that lacks a culprit's column is refused with a KeyError.
        """
        return Corrupted(self._apply(table, np.random.default_rng(seed)), self.culprits)

    def __and__(self, other: "Corruption") -> "Corruption":
        return Both(self, other)


@dataclass(frozen=True)
class Both(Corruption):
    """One corruption after the other."""

    first: Corruption
    second: Corruption

    @property
    def culprits(self) -> tuple[str, ...]:
        """Those of either."""
        return tuple(dict.fromkeys(self.first.culprits + self.second.culprits))

    def _apply(self, table: pa.Table, rng: np.random.Generator) -> pa.Table:
        return self.second._apply(self.first._apply(table, rng), rng)


class Columnwise(Corruption):
    """Breaks each culprit's column by itself."""

    @abstractmethod
    def _change(self, column: pa.Array, rng: np.random.Generator, /) -> pa.Array:
        """The column after the fault: same length, same type."""

    def _apply(self, table: pa.Table, rng: np.random.Generator) -> pa.Table:
        for name in self.culprits:
            column = self._change(whole(table[name]), rng)
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(place), column)
        return table


@dataclass(frozen=True)
class One(Columnwise):
    """A corruption of a single feature."""

    feature: str

    @property
    def culprits(self) -> tuple[str, ...]:
        """The feature."""
        return (self.feature,)


@dataclass(frozen=True)
class Scale(One):
    """x -> factor x, for a numeric feature."""

    factor: float = 2.0

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        return pc.multiply(column.cast(pa.float64()), self.factor).cast(column.type, safe=False)


@dataclass(frozen=True)
class Power(One):
    """x -> x to the exponent, for a numeric feature."""

    exponent: int = 3

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        return pc.power(column.cast(pa.float64()), self.exponent).cast(column.type, safe=False)


@dataclass(frozen=True)
class Constant(One):
    """The same category for everyone, missing values included."""

    value: int = 1

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        return pa.array(np.full(len(column), self.value), column.type)


@dataclass(frozen=True)
class Drop(Columnwise):
    """No value for a share of the examples, drawn for each feature by itself."""

    features: tuple[str, ...]
    share: float = 1.0

    @property
    def culprits(self) -> tuple[str, ...]:
        """The features."""
        return self.features

    def _change(self, column: pa.Array, rng: np.random.Generator, /) -> pa.Array:
        lost = rng.random(len(column)) < self.share
        return pc.if_else(pa.array(lost), pa.nulls(len(column), column.type), column)


@dataclass(frozen=True)
class LoseIds(One):
    """Random ids of a list get lost: each with probability `share`."""

    share: float = 0.5

    def _change(self, column: pa.Array, rng: np.random.Generator, /) -> pa.Array:
        lists = Lists.of(column)
        return lists.keep(rng.random(len(lists.rows)) >= self.share)


@dataclass(frozen=True)
class LoseRecentIds(One):
    """The first `share` of each list gets lost, rounded up: lists start with the most recent."""

    share: float = 0.5

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        lists = Lists.of(column)
        lost = np.ceil(lists.lengths * self.share)
        return lists.keep(lists.places >= lost[lists.rows])


@dataclass(frozen=True)
class ZeroWeights(One):
    """Every weight of a weighted list becomes zero; the ids stay."""

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        lists = Lists.of(column)
        ids = lists.entries.field("id")
        zeros = pa.array(np.zeros(len(ids)), pa.float32())
        return lists.with_entries(pa.StructArray.from_arrays([ids, zeros], names=["id", "weight"]))


@dataclass(frozen=True)
class DivideWords(One):
    """x -> floor(x / divisor) on the words of an encoded embedding, as if they were numbers."""

    divisor: int = 10

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        words = column.flatten().to_numpy(zero_copy_only=False) // self.divisor
        size = column.type.list_size
        known = column.is_valid().to_numpy(zero_copy_only=False)
        everywhere = np.zeros((len(column), size), np.int64)
        everywhere[known] = words.reshape(-1, size)
        flat = pa.array(everywhere.ravel(), pa.int64())
        return pa.FixedSizeListArray.from_arrays(flat, size, mask=pa.array(~known))


@dataclass(frozen=True)
class Lists:
    """A list column taken apart: the row and the place in its list of each entry."""

    entries: pa.Array
    lengths: npt.NDArray[np.int64]
    missing: Mask
    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.Array) -> "Lists":
        """Of a list column, which may be a slice and may have nulls."""
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        lengths = lengths.astype(np.int64)
        rows = np.repeat(np.arange(len(column)), lengths)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        missing = column.is_null().to_numpy(zero_copy_only=False)
        return cls(column.flatten(), lengths, missing, rows, places)

    def keep(self, kept: Mask) -> pa.Array:
        """The column with the kept entries only; a list may become empty, never null."""
        lengths = np.bincount(self.rows[kept], minlength=len(self.lengths))
        return self._column(lengths, self.entries.filter(pa.array(kept)))

    def with_entries(self, entries: pa.Array) -> pa.Array:
        """The column with other entries in the same places."""
        return self._column(self.lengths, entries)

    def _column(self, lengths: npt.NDArray[np.int64], entries: pa.Array) -> pa.Array:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        mask = np.append(self.missing, False)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32(), mask=mask), entries)
