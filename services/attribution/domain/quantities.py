"""What is counted of a feature's values: numbers, and ids.

Of a NUMERIC its value; of a list its length, and the sum of its weights; of a vector its norm; of a
CATEGORICAL and of lists the ids.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Feature, FeatureKind
from services.attribution.domain.example import Examples
from services.attribution.domain.runs import Runs, counted

NUMBERS = {
    FeatureKind.NUMERIC: 1,
    FeatureKind.CATEGORICAL: 0,
    FeatureKind.ID_LIST: 1,
    FeatureKind.WEIGHTED_ID_LIST: 2,
    FeatureKind.EMBEDDING: 1,
    FeatureKind.ENCODED_EMBEDDING: 1,
}
"""How many distributions of numbers a kind has; that of its ids follows them."""
WITH_IDS = (FeatureKind.CATEGORICAL, FeatureKind.ID_LIST, FeatureKind.WEIGHTED_ID_LIST)
WITHOUT_CORRELATION = (FeatureKind.EMBEDDING, FeatureKind.ENCODED_EMBEDDING)
"""A norm is no proxy of its vector."""
_LARGEST = float(np.finfo(np.float32).max)


def numbers_of(examples: Examples, feature: Feature) -> Sequence[NDArray[np.generic]]:
    """Return the feature's numbers, each [N], all within float32 or not finite."""
    values = _values(examples, feature)
    match feature.kind:
        case FeatureKind.NUMERIC:
            return [values]
        case FeatureKind.EMBEDDING:
            return [_norms(values)]
        case FeatureKind.ENCODED_EMBEDDING:
            return [_norms(np.ascontiguousarray(values).view("<f2"))]
        case _:
            lengths = np.count_nonzero(_used(examples, feature), axis=1)
            return [lengths, *_weight_sums(examples, feature)]


def present_in(
    examples: Examples, feature: Feature, first: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return which examples are not at the baseline; `first` is the first of the numbers."""
    if feature.kind is FeatureKind.NUMERIC:
        return np.asarray(first != np.float32(feature.baseline))
    if feature.kind in WITHOUT_CORRELATION:
        return examples.present(feature)
    return np.asarray(first > 0)


def ids_of(examples: Examples, feature: Feature) -> Runs:
    """Return how often each id occurs where the feature is not at its baseline, in one row."""
    values = _values(examples, feature)
    is_list = feature.kind.is_list
    present = _used(examples, feature) if is_list else values != feature.baseline
    return counted(np.sort(values[present])[np.newaxis])


def _values(examples: Examples, feature: Feature) -> NDArray[np.generic]:
    array = examples.arrays[feature.input]
    return array if feature.column is None else array[:, feature.column]


def _used(examples: Examples, feature: Feature) -> NDArray[np.bool_]:
    """Return the slots of lists that hold an id, or a weight, bool [N, slots]."""
    used = examples.arrays[feature.input] != 0
    if feature.weights_input is not None:
        used |= examples.arrays[feature.weights_input] != 0
    return np.asarray(used)


def _weight_sums(examples: Examples, feature: Feature) -> Sequence[NDArray[np.float64]]:
    if feature.weights_input is None:
        return []
    sums = examples.arrays[feature.weights_input].sum(axis=1, dtype=np.float64)
    return [np.clip(sums, -_LARGEST, _LARGEST)]


def _norms(vectors: NDArray[np.generic]) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    norms[norms > _LARGEST] = np.inf
    return np.asarray(norms)
