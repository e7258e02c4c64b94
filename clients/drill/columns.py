"""From arrays to the columns that a pipeline would log: one builder a feature kind.

A row whose value is not known is null, which stands for "missing".
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clients.drill.movielens.history import Ints, Mask
from clients.drill.schema import FLOATS_PER_WORD, Feature, FeatureKind

AnyFloats = npt.NDArray[np.float64] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Column:
    """A feature and its logged values."""

    feature: Feature
    values: pa.Array


def numeric(
    name: str, values: AnyFloats | Ints, baseline: float, known: Mask | None = None
) -> Column:
    """values: [N], logged as int64 if they are integers, else as float32; null where not known."""
    kind = pa.int64() if values.dtype == np.int64 else pa.float32()
    mask = np.zeros(len(values), bool) if known is None else ~known
    feature = Feature(name, FeatureKind.NUMERIC, baseline=baseline)
    return Column(feature, pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=mask))


def categorical(name: str, ids: Ints, cardinality: int) -> Column:
    """ids: int64 [N] below `cardinality`; 0 is the unknown id and is logged as null."""
    feature = Feature(name, FeatureKind.CATEGORICAL, cardinality=cardinality)
    return Column(feature, pa.array(ids, pa.int64(), mask=ids <= 0))


def id_list(name: str, ids: Ints, cardinality: int, known: Mask | None = None) -> Column:
    """ids: int64 [N, L], absent where 0; the order of the present ones is kept."""
    feature = Feature(name, FeatureKind.ID_LIST, cardinality=cardinality, size=ids.shape[1])
    present = ids > 0
    offsets = _offsets(present, known)
    return Column(feature, pa.ListArray.from_arrays(offsets, pa.array(ids[present], pa.int64())))


def weighted_id_list(
    name: str, ids: Ints, weights: AnyFloats, cardinality: int, known: Mask | None = None
) -> Column:
    """ids: int64 [N, L], absent where 0; weights: [N, L]."""
    feature = Feature(
        name, FeatureKind.WEIGHTED_ID_LIST, cardinality=cardinality, size=ids.shape[1]
    )
    present = ids > 0
    entries = pa.StructArray.from_arrays(
        [
            pa.array(ids[present], pa.int64()),
            pa.array(weights[present].astype(np.float32), pa.float32()),
        ],
        names=["id", "weight"],
    )
    return Column(feature, pa.ListArray.from_arrays(_offsets(present, known), entries))


def embedding(name: str, vectors: AnyFloats, known: Mask) -> Column:
    """vectors: [N, D]; null where not known."""
    feature = Feature(name, FeatureKind.EMBEDDING, size=vectors.shape[1])
    flat = pa.array(vectors.astype(np.float32).ravel(), pa.float32())
    return Column(feature, _fixed(flat, feature.size, known))


def encoded_embedding(name: str, vectors: AnyFloats, known: Mask) -> Column:
    """vectors: [N, D], D a multiple of four; quantised to float16, four to an int64."""
    words = pack_float16(vectors)
    feature = Feature(name, FeatureKind.ENCODED_EMBEDDING, size=words.shape[1])
    return Column(feature, _fixed(pa.array(words.ravel(), pa.int64()), feature.size, known))


def pack_float16(vectors: AnyFloats) -> Ints:
    """[N, D] to int64 [N, D/4]: element 4k + i in bits 16i to 16i + 15 of word k.

    >>> pack_float16(np.array([[1.0, 0.0, 0.0, 2.0]])).tolist() == [[0x4000_0000_0000_3C00]]
    True
    """
    if vectors.shape[1] % FLOATS_PER_WORD:
        raise ValueError(f"dimension {vectors.shape[1]} is no multiple of {FLOATS_PER_WORD}")
    halves = np.ascontiguousarray(vectors, dtype="<f2")
    return halves.view("<i8").astype(np.int64)


def unpack_float16(words: Ints) -> npt.NDArray[np.float16]:
    """The inverse of `pack_float16`: int64 [N, W] to float16 [N, 4W]."""
    return np.ascontiguousarray(words, dtype="<i8").view("<f2").astype(np.float16)


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one piece, copied only if it comes in several; a record batch's does not."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _offsets(present: Mask, known: Mask | None) -> pa.Array:
    offsets = np.zeros(len(present) + 1, np.int32)
    np.cumsum(present.sum(axis=1), out=offsets[1:])
    unknown = np.zeros(len(offsets), bool)
    if known is not None:
        unknown[:-1] = ~known & ~present.any(axis=1)
    return pa.array(offsets, pa.int32(), mask=unknown)


def _fixed(flat: pa.Array, size: int, known: Mask) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(flat, size, mask=pa.array(~known))
