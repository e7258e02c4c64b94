"""Made-up examples that a checkpoint must be able to score before it is trusted with real ones."""

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Feature, FeatureKind, Schema
from services.attribution.domain.example import Examples

_UNBOUNDED_IDS = 1_000_003
_INFINITIES, _NANS = 0x7C00_7C00_7C00_7C00, -1
"""Four float16 each."""

CORRUPTED = 2
"""How many probes, the last ones, hold words that decode to no number."""


def probe_examples(schema: Schema, count: int, seed: int = 0) -> Examples:
    """Return `count` examples that a model of that schema has to cope with.

    The first is all baselines, the second has every feature; in the others each is present with
    probability 3/4. Numbers are of size 1, as are those that words of encoded embeddings decode to:
    random bits would be vectors that no feature has, beside which float32 does not see the other
    features. Only in the last two (`CORRUPTED`) words decode to infinity and to NaN.
    """
    generator = np.random.default_rng(seed)
    arrays = {
        name: np.broadcast_to(value, (count, *value.shape)).copy()
        for name, value in schema.baseline_row().items()
    }
    for feature in schema.columns:
        rows = np.append(1, 2 + np.flatnonzero(generator.random(count - 2) < 0.75))
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
        return generator.normal(size=(*shape, 4)).astype(np.float16).view(np.int64)[..., 0]
    smallest = 1 if feature.kind.is_list else 0
    bound = max(feature.cardinality or _UNBOUNDED_IDS, smallest + 1)
    return generator.integers(smallest, bound, shape)
