"""From logged Arrow columns to the tensors that the program takes.

Follows docs/reference/checkpoint.md: a null is encoded as the baseline, lists are padded with 0
at the end, a list that is too long or a number that is not finite is refused.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from clients.drill.columns import whole
from clients.drill.errors import EncodingError
from clients.drill.schema import Feature, FeatureKind, Schema

Array = npt.NDArray[np.float32 | np.int64]
NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Encoder:
    """Encodes tables that carry the schema's features; other columns are ignored."""

    schema: Schema

    def __call__(
        self, table: pa.Table, killed: Collection[str] = NOBODY
    ) -> tuple[torch.Tensor, ...]:
        """One tensor an input, in the program's order; killed features are at their baseline."""
        return tuple(torch.from_numpy(array) for array in self._inputs(table, killed))

    def baseline(self, rows: int) -> tuple[torch.Tensor, ...]:
        """The tensors of `rows` examples in which every feature is missing."""
        columns = [pa.nulls(rows, feature.arrow_type) for feature in self.schema.features]
        return self(pa.Table.from_arrays(columns, names=list(self.schema.names())))

    def _inputs(self, table: pa.Table, killed: Collection[str]) -> Iterator[Array]:
        for kind in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL):
            columns = [
                encode(feature, column_of(table, feature, killed))[0]
                for feature in self.schema.of_kind(kind)
            ]
            yield np.stack(columns, axis=1)
        for feature in self.schema.features:
            if feature.kind not in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL):
                yield from encode(feature, column_of(table, feature, killed))


def column_of(table: pa.Table, feature: Feature, killed: Collection[str]) -> pa.Array:
    """The feature's column in one piece; all null if the feature is killed."""
    if feature.name in killed:
        return pa.nulls(table.num_rows, feature.arrow_type)
    if feature.name not in table.column_names:
        raise EncodingError(f"{feature.name}: the table has no such column")
    return whole(table[feature.name])


def encode(feature: Feature, column: pa.Array) -> tuple[Array, ...]:
    """One array for the feature's input, two for a weighted list; see `schema.inputs_of`."""
    match feature.kind:
        case FeatureKind.NUMERIC:
            return (_numeric(feature, column),)
        case FeatureKind.CATEGORICAL:
            return (_categorical(feature, column),)
        case FeatureKind.ID_LIST:
            return (_padded(feature, column, _ids(feature, column.flatten()), np.int64),)
        case FeatureKind.WEIGHTED_ID_LIST:
            entries = column.flatten()
            ids = _ids(feature, entries.field("id"))
            weights = entries.field("weight").to_numpy(zero_copy_only=False)
            return (
                _padded(feature, column, ids, np.int64),
                _padded(feature, column, _finite(feature, weights), np.float32),
            )
        case FeatureKind.EMBEDDING:
            return (_finite(feature, _fixed(feature, column, np.float32)),)
        case FeatureKind.ENCODED_EMBEDDING:
            return (_fixed(feature, column, np.int64),)


def _numeric(feature: Feature, column: pa.Array) -> Array:
    values = pc.fill_null(column.cast(pa.float32(), safe=False), feature.baseline)
    return _finite(feature, values.to_numpy(zero_copy_only=False))


def _categorical(feature: Feature, column: pa.Array) -> Array:
    values = pc.fill_null(column.cast(pa.int64()), int(feature.baseline))
    return _bounded(feature, values.to_numpy(zero_copy_only=False), lowest=0)


def _ids(feature: Feature, values: pa.Array) -> npt.NDArray[np.int64]:
    if values.null_count:
        raise EncodingError(f"{feature.name}: an id in a list is null")
    return _bounded(feature, values.to_numpy(zero_copy_only=False), lowest=1)


def _bounded(feature: Feature, ids: npt.NDArray[np.int64], lowest: int) -> npt.NDArray[np.int64]:
    highest = feature.cardinality
    outside = (ids < lowest) if highest is None else (ids < lowest) | (ids >= highest)
    if outside.any():
        raise EncodingError(f"{feature.name}: id {ids[outside][0]} is not in [{lowest}, {highest})")
    return ids


def _finite(feature: Feature, values: Array) -> Array:
    if not np.isfinite(values).all():
        raise EncodingError(f"{feature.name}: a value is NaN or infinite")
    return values


def _padded(
    feature: Feature,
    column: pa.Array,
    values: Array,
    dtype: type[np.int64] | type[np.float32],
) -> Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    longest = int(lengths.max(initial=0))
    if longest > feature.size:
        row = int(lengths.argmax())
        raise EncodingError(
            f"{feature.name}: row {row} has {longest} ids, the program takes {feature.size}"
        )
    padded = np.zeros((len(column), feature.size), dtype)
    padded[np.arange(feature.size) < lengths[:, None]] = values
    return padded


def _fixed(feature: Feature, column: pa.Array, dtype: type[np.int64] | type[np.float32]) -> Array:
    if column.type.list_size != feature.size:
        raise EncodingError(
            f"{feature.name}: vectors of {column.type.list_size}, the program takes {feature.size}"
        )
    vectors = np.zeros((len(column), feature.size), dtype)
    values = column.flatten()
    if values.null_count:
        raise EncodingError(f"{feature.name}: an element of a vector is null")
    known = column.is_valid().to_numpy(zero_copy_only=False)
    vectors[known] = values.to_numpy(zero_copy_only=False).reshape(-1, feature.size)
    return vectors
