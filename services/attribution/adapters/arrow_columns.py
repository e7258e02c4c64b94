"""Encodes one Arrow column as the arrays of its feature's inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Feature, FeatureKind, InputSpec
from services.attribution.domain.errors import (
    AttributionError,
    IdOutOfRange,
    ListTooLong,
    NotFinite,
    WrongDataType,
)

_COLUMNS = {
    FeatureKind.NUMERIC: "floats or integers",
    FeatureKind.CATEGORICAL: "integers",
    FeatureKind.ID_LIST: "lists of integers",
    FeatureKind.WEIGHTED_ID_LIST: "lists of structs {id: integer, weight: float}",
    FeatureKind.EMBEDDING: "fixed-size lists of floats",
    FeatureKind.ENCODED_EMBEDDING: "fixed-size lists of integers",
}


@dataclass(frozen=True)
class Rows:
    """To which example each element of flattened lists belongs."""

    lengths: NDArray[np.int64]

    def of(self, element: int) -> int:
        """Return the example of an element."""
        return int(np.searchsorted(np.cumsum(self.lengths), element, "right"))


@dataclass(frozen=True)
class Column:
    """One feature's column. Nulls stand for "absent" and are encoded as the baseline."""

    feature: Feature
    spec: InputSpec
    """Of the feature's values or ids."""
    field: str
    """Path of the column in the request."""

    def encode(self, column: pa.ChunkedArray) -> dict[str, NDArray[np.generic]]:
        """Return the arrays `[N, ...]` by input name; none if the column is of type null.

        Raises:
            WrongDataType, NotFinite, ListTooLong, IdOutOfRange: with the path of the value.
        """
        if pa.types.is_null(column.type):
            return {}
        if pa.types.is_dictionary(column.type):
            raise self._wrong_type(column.type)
        values = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        match self.feature.kind:
            case FeatureKind.NUMERIC:
                return {self.feature.input: self._filled(values, self._numbers(values))}
            case FeatureKind.CATEGORICAL:
                return {self.feature.input: self._filled(values, self._ids(values))}
            case FeatureKind.EMBEDDING | FeatureKind.ENCODED_EMBEDDING:
                return {self.feature.input: self._vectors(values)}
            case _:
                return self._id_lists(values)

    def _filled(self, values: pa.Array, encoded: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return scalars with the baseline where the column is null."""
        if values.null_count == 0:
            return encoded.astype(self.spec.dtype)
        baseline = self.spec.dtype.type(self.feature.baseline)
        return np.where(_valid(values), encoded, baseline)

    def _vectors(self, values: pa.Array) -> NDArray[np.generic]:
        lengths, flat = self._flattened(values)
        (width,) = self.spec.shape
        self._check(
            (lengths == 0) | (lengths == width),
            WrongDataType,
            lambda row: f"a vector of {lengths[row]} elements; the checkpoint's has {width}",
        )
        rows = Rows(lengths)
        words = self.feature.kind is FeatureKind.ENCODED_EMBEDDING
        numbers = self._whole(flat, rows) if words else self._numbers(flat, rows)
        vectors = np.zeros((len(lengths), width), self.spec.dtype)
        vectors[lengths == width] = numbers.reshape(-1, width)
        return vectors

    def _id_lists(self, values: pa.Array) -> dict[str, NDArray[np.generic]]:
        lengths, flat = self._flattened(values)
        (longest,) = self.spec.shape
        self._check(
            lengths <= longest,
            ListTooLong,
            lambda row: (
                f"a list of {lengths[row]} ids; the checkpoint takes {longest}: cut it as "
                "the model server does"
            ),
        )
        rows = Rows(lengths)
        used = np.arange(longest) < lengths[:, np.newaxis]
        if self.feature.weights_input is None:
            return {self.feature.input: _padded(used, self._ids(flat, rows))}
        ids, weights = self._members(flat)
        self._check_complete(ids, rows)
        self._check_complete(weights, rows)
        return {
            self.feature.input: _padded(used, self._ids(ids, rows)),
            self.feature.weights_input: _padded(used, self._numbers(weights, rows)),
        }

    def _flattened(self, values: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
        """Return the length of each list, 0 where null, and all elements one after another."""
        kind = values.type
        if not (
            pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)
        ):
            raise self._wrong_type(kind)
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        flat = values.flatten()
        sizes = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
        self._check_complete(flat, Rows(sizes))
        return sizes, flat

    def _check_complete(self, flat: pa.Array, rows: Rows) -> None:
        if flat.null_count == 0:
            return
        explanation = "a null inside a list: leave the element out"
        self._check(_valid(flat), WrongDataType, lambda _: explanation, rows)

    def _members(self, flat: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Return the ids and the weights of a weighted list's elements."""
        kind = flat.type
        if not pa.types.is_struct(kind) or {f.name for f in kind} != {"id", "weight"}:
            raise self._wrong_type(kind)
        return pc.struct_field(flat, "id"), pc.struct_field(flat, "weight")

    def _numbers(self, values: pa.Array, rows: Rows | None = None) -> NDArray[np.float32]:
        """Return numbers as float32, 0 where null; element i belongs to example `rows[i]`."""
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise self._wrong_type(values.type)
        numbers: NDArray[np.float32] = _filled(values, pa.float32()).to_numpy(zero_copy_only=False)
        self._check(
            np.isfinite(numbers),
            NotFinite,
            lambda i: f"{values[i]} is not a finite float32: send null if the value is missing",
            rows,
        )
        return numbers

    def _whole(self, values: pa.Array, rows: Rows | None = None) -> NDArray[np.int64]:
        """Return integers as int64, 0 where null."""
        if not pa.types.is_integer(values.type):
            raise self._wrong_type(values.type)
        whole: NDArray[np.int64] = _filled(values, pa.int64()).to_numpy(zero_copy_only=False)
        if pa.types.is_uint64(values.type):
            # What is too large has become negative.
            self._check(
                whole >= 0, IdOutOfRange, lambda i: f"{values[i]} does not fit an int64", rows
            )
        return whole

    def _ids(self, values: pa.Array, rows: Rows | None = None) -> NDArray[np.int64]:
        """Return ids that the model knows, 0 where null."""
        ids = self._whole(values, rows)
        smallest = 1 if self.feature.kind.is_list else 0
        if self.feature.cardinality is not None:
            allowed = (ids >= smallest) & (ids < self.feature.cardinality)
        elif self.feature.kind.is_list:
            allowed = ids != 0
        else:
            return ids
        if allowed.all():
            return ids
        self._check(
            allowed | ~_valid(values),
            IdOutOfRange,
            lambda i: (
                f"id {ids[i]} is not in [{smallest}, {self.feature.cardinality or '2^63'})"
                + (": 0 is what lists are padded with" if ids[i] == 0 else "")
            ),
            rows,
        )
        return ids

    def _check(
        self,
        right: NDArray[np.bool_],
        error: type[AttributionError],
        explain: Callable[[int], str],
        rows: Rows | None = None,
    ) -> None:
        """Raise `error` for the first element that is not right."""
        if not right.all():
            element = int(np.argmin(right))
            row = element if rows is None else rows.of(element)
            raise error(
                f"feature {self.feature.name!r}, row {row}: {explain(element)}",
                f"{self.field}[{row}]",
            )

    def _wrong_type(self, kind: pa.DataType) -> WrongDataType:
        hint = ": decode the dictionary first" if pa.types.is_dictionary(kind) else ""
        return WrongDataType(
            f"feature {self.feature.name!r} of kind {self.feature.kind.value} takes "
            f"{_COLUMNS[self.feature.kind]}, and the column holds {kind}{hint}",
            self.field,
        )


def _filled(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return numbers of another type, 0 where null."""
    cast = values if values.type == kind else values.cast(kind, safe=False)
    return cast.fill_null(0) if cast.null_count else cast


def _valid(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _padded(used: NDArray[np.bool_], elements: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return lists of elements padded at the end with 0."""
    lists = np.zeros(used.shape, elements.dtype)
    lists[used] = elements
    return lists
