"""Made-up examples that a checkpoint must be able to score before it is trusted with real ones."""

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Feature, FeatureKind, Schema
from services.attribution.domain.example import Examples

_UNBOUNDED_IDS = 1_000_003
_INFINITIES, _NANS = 0x7C00_7C00_7C00_7C00, -1
"""Four float16 each."""


def probe_examples(schema: Schema, count: int, seed: int = 0) -> Examples:
    """Return `count` examples that a model of that schema has to cope with.

    The first is all baselines; in the others each feature is present with probability 3/4. Words of
    encoded embeddings are random bits, apart from the last two examples, which decode to infinity
    and to NaN.
    """
    generator = np.random.default_rng(seed)
    arrays = {
        name: np.broadcast_to(value, (count, *value.shape)).copy()
        for name, value in schema.baseline_row().items()
    }
    for feature in schema.columns:
        rows = 1 + np.flatnonzero(generator.random(count - 1) < 0.75)
        for name in feature.inputs:
            place = (rows,) if feature.column is None else (rows, feature.column)
            shape = arrays[name][place].shape
            arrays[name][place] = _values(feature, arrays[name].dtype, shape, generator)
        if feature.kind is FeatureKind.ENCODED_EMBEDDING:
            arrays[feature.input][-2:] = np.array([[_INFINITIES], [_NANS]])
    return Examples(schema, arrays)


def _values(
    feature: Feature,
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
    generator: np.random.Generator,
) -> NDArray[np.generic]:
    if dtype == np.float32:
        return generator.normal(size=shape).astype(np.float32)
    if feature.kind is FeatureKind.ENCODED_EMBEDDING:
        bounds = np.iinfo(np.int64)
        return generator.integers(bounds.min, bounds.max, shape, endpoint=True)
    smallest = 1 if feature.kind.is_list else 0
    bound = max(feature.cardinality or _UNBOUNDED_IDS, smallest + 1)
    return generator.integers(smallest, bound, shape)
