"""What real pipelines do beside the paper's eleven cases.

Rows are taken to be in the order of time: a table begins when the fault does. `Ramp` and
`Intermittent` wrap any other fault; `Misjoin` and `Swap` break several features of one pipeline
together; `together` applies one fault to each feature of a pipeline.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clients.drill.columns import whole
from clients.drill.corruptions import Corruption, Lists, Mask, One

_MULTIPLIER = 0x9E3779B1


def together(make: Callable[[str], Corruption], features: Iterable[str]) -> Corruption:
    """The fault that `make` makes of each feature, in all of them."""
    return reduce(and_, map(make, features))


@dataclass(frozen=True)
class Stale(Corruption):
    """The store stopped being updated: each key keeps the value of its first row.

    `key` is the column that says whose value it is, such as the user's id.
    """

    feature: str
    key: str

    @property
    def culprits(self) -> tuple[str, ...]:
        """The feature."""
        return (self.feature,)

    def _apply(self, table: pa.Table, _rng: np.random.Generator) -> pa.Table:
        keys = pc.dictionary_encode(whole(table[self.key]), null_encoding="encode")
        codes = keys.indices.to_numpy(zero_copy_only=False)
        _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        return _set(table, self.feature, whole(table[self.feature]).take(pa.array(first[inverse])))


@dataclass(frozen=True)
class Frozen(One):
    """One value for everybody: the one that the first row has."""

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        return column.take(pa.array(np.zeros(len(column), np.int64)))


@dataclass(frozen=True)
class Misjoin(Corruption):
    """A share of the rows get another row's values, the same other row's in every feature.

    Leaves each feature's distribution as it is.
    """

    features: tuple[str, ...]
    share: float = 1.0

    @property
    def culprits(self) -> tuple[str, ...]:
        """The features."""
        return self.features

    def _apply(self, table: pa.Table, rng: np.random.Generator) -> pa.Table:
        rows = np.arange(table.num_rows)
        cycle = rng.permutation(np.flatnonzero(rng.random(len(rows)) < self.share))
        rows[cycle] = np.roll(cycle, 1)
        for name in self.features:
            table = _set(table, name, whole(table[name]).take(pa.array(rows)))
        return table


@dataclass(frozen=True)
class ChangeUnit(One):
    """x -> factor x + offset: another unit, or with -1 another sign."""

    factor: float = 1.0
    offset: float = 0.0

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        scaled = pc.multiply(column.cast(pa.float64()), self.factor)
        return pc.add(scaled, self.offset).cast(column.type, safe=False)


@dataclass(frozen=True)
class Clip(One):
    """Numbers are cut to what lies between two of the table's own quantiles."""

    lower: float = 0.25
    upper: float = 0.75

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        values = column.cast(pa.float64())
        low, high = pc.quantile(values, q=[self.lower, self.upper]).to_pylist()
        if low is None:
            return column
        cut = pc.min_element_wise(
            pc.max_element_wise(values, low, skip_nulls=False), high, skip_nulls=False
        )
        return cut.cast(column.type, safe=False)


@dataclass(frozen=True)
class Truncate(One):
    """Lists keep their first `length` entries."""

    length: int = 1

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        lists = Lists.of(column)
        return lists.keep(lists.places < self.length)


@dataclass(frozen=True)
class Rehash(One):
    """Ids go through another hash into the same `cardinality`; 0, the unknown one, stays.

    Without a cardinality ids become any int64 but 0.
    """

    cardinality: int | None = None
    salt: int = 1

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        if not pa.types.is_list(column.type):
            return self._hashed(column)
        lists = Lists.of(column)
        if not pa.types.is_struct(lists.entries.type):
            return lists.with_entries(self._hashed(lists.entries))
        ids = self._hashed(lists.entries.field("id"))
        weights = lists.entries.field("weight")
        return lists.with_entries(
            pa.StructArray.from_arrays([ids, weights], names=["id", "weight"])
        )

    def _hashed(self, ids: pa.Array) -> pa.Array:
        missing = ids.is_null().to_numpy(zero_copy_only=False)
        numbers = pc.fill_null(ids, 0).to_numpy(zero_copy_only=False).astype(np.uint64)
        mixed = (numbers + np.uint64(self.salt)) * np.uint64(_MULTIPLIER)
        mixed ^= mixed >> np.uint64(15)
        most = np.uint64(2**62 if self.cardinality is None else max(self.cardinality - 1, 1))
        hashed = np.where(numbers == 0, 0, mixed % most + np.uint64(1)).astype(np.int64)
        return pa.array(hashed, ids.type, mask=missing)


@dataclass(frozen=True)
class WrongDefault(One):
    """Missing numbers or categories, and a share of the others, come as `value`."""

    value: float = -1.0
    share: float = 0.3

    def _change(self, column: pa.Array, rng: np.random.Generator, /) -> pa.Array:
        filled = pa.array(np.full(len(column), self.value)).cast(column.type, safe=False)
        lost = pa.array(rng.random(len(column)) < self.share)
        return pc.if_else(pc.or_(lost, column.is_null()), filled, column)


@dataclass(frozen=True)
class ShiftHours(One):
    """An hour of the day is told in another time zone: x -> (x - first + hours) mod day + first."""

    hours: float = 8.0
    day: float = 24.0
    first: float = 0.0

    def _change(self, column: pa.Array, _rng: np.random.Generator, /) -> pa.Array:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
        moved = np.mod(values - self.first + self.hours, self.day) + self.first
        return pa.array(moved, mask=missing).cast(column.type, safe=False)


@dataclass(frozen=True)
class Swap(Corruption):
    """Two columns under each other's names: of one type, or numbers, which keep their types."""

    one: str
    other: str

    @property
    def culprits(self) -> tuple[str, ...]:
        """Both."""
        return (self.one, self.other)

    def _apply(self, table: pa.Table, _rng: np.random.Generator) -> pa.Table:
        first, second = whole(table[self.one]), whole(table[self.other])
        are_numbers = _is_number(first.type) and _is_number(second.type)
        if first.type != second.type and not are_numbers:
            raise TypeError(f"{self.one} is {first.type}, {self.other} is {second.type}")
        for name, column in ((self.one, second), (self.other, first)):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, pa.field(name, column.type), column)
        return table


@dataclass(frozen=True)
class Partial(Corruption):
    """Another fault, in some rows only."""

    fault: Corruption

    @property
    def culprits(self) -> tuple[str, ...]:
        """The fault's."""
        return self.fault.culprits

    @abstractmethod
    def _hit(self, count: int, rng: np.random.Generator) -> Mask:
        """Which of `count` rows come broken: bool [count]."""

    def _apply(self, table: pa.Table, rng: np.random.Generator) -> pa.Table:
        hit = self._hit(table.num_rows, rng)
        broken = self.fault._apply(table, rng)
        rows = pa.array(np.arange(table.num_rows) + table.num_rows * hit)
        for name in self.culprits:
            both = pa.concat_arrays([whole(table[name]), whole(broken[name])])
            table = _set(table, name, both.take(rows))
        return table


@dataclass(frozen=True)
class Ramp(Partial):
    """A fault that is rolled out: the share of broken rows rises from none to `until`."""

    until: float = 1.0

    def _hit(self, count: int, rng: np.random.Generator) -> Mask:
        rising = np.linspace(0.0, self.until, count)
        return np.asarray(rng.random(count) < rising)


@dataclass(frozen=True)
class Intermittent(Partial):
    """A fault that comes and goes: of bursts of `burst` rows, `share` are broken."""

    burst: int = 100
    share: float = 0.5

    def _hit(self, count: int, rng: np.random.Generator) -> Mask:
        bursts = -(-count // self.burst)
        broken = np.zeros(bursts, bool)
        broken[rng.permutation(bursts)[: round(self.share * bursts)]] = True
        return np.repeat(broken, self.burst)[:count]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _set(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), column)
