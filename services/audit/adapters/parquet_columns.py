"""Columns of tables as arrays."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.audit.domain.errors import MalformedLabels, SnapshotRefused


@dataclass(frozen=True, eq=False)
class Lists:
    """A column of lists."""

    offsets: NDArray[np.int64]
    """[N + 1], rising from 0."""
    values: pa.ChunkedArray
    """[entries]"""

    @property
    def rows(self) -> NDArray[np.int64]:
        """[entries] the row of each element."""
        return np.arange(len(self.offsets) - 1).repeat(np.diff(self.offsets))


def lists_of(column: pa.ChunkedArray, name: str) -> Lists:
    """Return a column's lists; null counts as empty.

    Raises:
        SnapshotRefused: the column holds no lists.
        MalformedLabels: a list holds null.
    """
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)):
        raise SnapshotRefused(f"column {name!r} holds {kind}: it must hold a list by row")
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    values = pc.list_flatten(column)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    if values.null_count:
        at = int(np.argmin(pc.is_valid(values).to_numpy()))
        row = int(np.searchsorted(offsets, at, side="right")) - 1
        raise MalformedLabels(f"row {row}: a list in {name!r} holds null: leave the element out")
    return Lists(offsets, values)


def encoded(column: pa.ChunkedArray, name: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the distinct values as text, sorted, and the position of each element's.

    Raises:
        SnapshotRefused: they are no strings, integers or booleans, or one is null.
    """
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    kind = plain.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise SnapshotRefused(
            f"column {name!r} holds {kind}: it must hold strings, integers or booleans"
        )
    if plain.null_count:
        raise SnapshotRefused(f"column {name!r} holds null: leave the row out, or name its value")
    dictionary = pa.concat_arrays(plain.chunks or [pa.array([], kind)]).dictionary_encode()
    order = pc.sort_indices(dictionary.dictionary).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    values = dictionary.dictionary.take(pa.array(order)).to_pylist()
    return tuple(str(value) for value in values), place[dictionary.indices.to_numpy()]


def numbers_of(column: pa.ChunkedArray, name: str) -> NDArray[np.number]:
    """Return numbers or booleans.

    Raises:
        SnapshotRefused: they are neither, or one is null.
    """
    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (is_number or pa.types.is_boolean(kind)) or column.null_count:
        raise SnapshotRefused(
            f"column {name!r} holds {kind}: it must hold numbers or booleans, never null"
        )
    return np.asarray(column.to_numpy())


def check_unique(column: pa.ChunkedArray, name: str) -> None:
    """Check that no value appears twice.

    Raises:
        MalformedLabels: one does.
    """
    _, codes = encoded(column, name)
    order = np.argsort(codes, kind="stable")
    again = np.flatnonzero(np.diff(codes[order]) == 0)
    if len(again):
        first, second = sorted(order[again[0] : again[0] + 2].tolist())
        raise MalformedLabels(
            f"{name} {column[first].as_py()!r} appears twice, in rows {first} and {second}: a row "
            "that counts twice is a co-occurrence that never was"
        )
