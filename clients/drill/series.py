"""Logged columns as drift detectors take them: one series a feature, of numbers or categories."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clients.drill.columns import unpack_float16, whole
from clients.drill.corruptions import Lists
from clients.drill.schema import Feature, FeatureKind

Series = NDArray[np.float64]


def series_of(feature: Feature, table: pa.Table) -> Series:
    """Return a feature's values, float64 [N], NaN where it is missing.

    The number or the id itself; of a list its length; of a weighted one the sum of its weights; of
    an embedding the norm of the decoded vector.
    """
    column = whole(table[feature.name])
    match feature.kind:
        case FeatureKind.NUMERIC | FeatureKind.CATEGORICAL:
            numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            return np.asarray(numbers, dtype=np.float64)
        case FeatureKind.ID_LIST:
            lengths = pc.fill_null(pc.list_value_length(column), 0)
            return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.float64)
        case FeatureKind.WEIGHTED_ID_LIST:
            lists = Lists.of(column)
            weights = lists.entries.field("weight").to_numpy(zero_copy_only=False)
            sums = np.bincount(lists.rows, weights=weights, minlength=len(column))
            return np.asarray(sums, dtype=np.float64)
        case _:
            return _norms(feature, column)


def _norms(feature: Feature, column: pa.Array) -> Series:
    known = column.is_valid().to_numpy(zero_copy_only=False)
    flat = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    is_encoded = feature.kind is FeatureKind.ENCODED_EMBEDDING
    vectors = (unpack_float16(flat) if is_encoded else flat).astype(np.float64)
    norms = np.full(len(column), np.nan)
    finite = np.nan_to_num(vectors, posinf=65504.0, neginf=-65504.0)
    norms[known] = np.sqrt((finite**2).sum(axis=1))
    return norms
