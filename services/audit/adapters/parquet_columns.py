"""Columns of tables as arrays."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.audit.domain.errors import MalformedCounts, MalformedLabels, SnapshotRefused

MOST_ROWS = 2**48
"""That counts may speak of: ten thousand of these still add up exactly."""
_LONGEST_NAME = 1024
"""Characters of a label or an outcome, as in the contract's lists of labels."""


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
        SnapshotRefused: they are no strings, integers or booleans, or one is null or no text.
        MalformedLabels: one is too long for a name.
    """
    dictionary = _plain(column, name).dictionary_encode()
    order = pc.sort_indices(dictionary.dictionary).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    values = _texts(dictionary.dictionary.take(pa.array(order)), name)
    return values, place[dictionary.indices.to_numpy()]


def texts_of(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return strings, integers or booleans as text.

    Raises:
        SnapshotRefused: they are neither, or one is null.
    """
    return pa.chunked_array([pc.cast(_plain(column, name), pa.string())], pa.string())


def numbers_of(column: pa.ChunkedArray, name: str) -> NDArray[np.number]:
    """Return numbers or booleans.

    Raises:
        SnapshotRefused: they are neither, or one is null, NaN or infinite.
    """
    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (is_number or pa.types.is_boolean(kind)) or column.null_count:
        raise SnapshotRefused(
            f"column {name!r} holds {kind}: it must hold numbers or booleans, never null"
        )
    numbers = np.asarray(column.to_numpy())
    if pa.types.is_floating(kind) and not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise SnapshotRefused(f"column {name!r} holds {numbers[row]}: give a finite number")
    return numbers


def counts_of(column: pa.ChunkedArray, name: str) -> NDArray[np.int64]:
    """Return whole numbers; whether they are negative is left to who knows what they count.

    Raises:
        SnapshotRefused: they are no numbers, or one is null, NaN or infinite.
        MalformedCounts: one is no whole number, or larger than any count of rows.
    """
    if pa.types.is_boolean(column.type):
        raise SnapshotRefused(f"column {name!r} holds booleans: it must hold counts of rows")
    numbers = numbers_of(column, name)
    wrong = np.flatnonzero((np.abs(numbers) > MOST_ROWS) | (numbers != np.floor(numbers)))
    if len(wrong):
        raise MalformedCounts(
            f"column {name!r} holds {numbers[wrong[0]]}: it must hold whole numbers of rows, at "
            f"most {MOST_ROWS:,}"
        )
    return numbers.astype(np.int64)


def check_unique(column: pa.ChunkedArray, name: str) -> None:
    """Check that no value appears twice.

    Raises:
        SnapshotRefused: they are no strings, integers or booleans, or one is null.
        MalformedLabels: one appears twice.
    """
    codes = _plain(column, name).dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    again = np.flatnonzero(np.diff(codes[order]) == 0)
    if len(again):
        first, second = sorted(order[again[0] : again[0] + 2].tolist())
        raise MalformedLabels(
            f"{name} {column[first].as_py()!r} appears twice, in rows {first} and {second}: a row "
            "that counts twice is a co-occurrence that never was"
        )


def _plain(column: pa.ChunkedArray, name: str) -> pa.Array:
    """Return strings, integers or booleans as one array."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string_view(kind):
        kind = pa.string()
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise SnapshotRefused(
            f"column {name!r} holds {kind}: it must hold strings, integers or booleans"
        )
    plain = column.cast(kind)
    if plain.null_count:
        raise SnapshotRefused(f"column {name!r} holds null: leave the row out, or name its value")
    return pa.concat_arrays(plain.chunks or [pa.array([], kind)])


def _texts(values: pa.Array, name: str) -> tuple[str, ...]:
    try:
        texts = tuple(str(value) for value in values.to_pylist())
    except UnicodeDecodeError as error:
        raise SnapshotRefused(f"column {name!r} holds text that is not UTF-8: {error}") from error
    longest = max(texts, key=len, default="")
    if len(longest) > _LONGEST_NAME:
        raise MalformedLabels(
            f"column {name!r} holds {longest[:40]!r}..., of {len(longest)} characters: a name has "
            f"{_LONGEST_NAME} at most"
        )
    return texts
