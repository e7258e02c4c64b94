"""What a drift detector would have said."""

import numpy as np
import pyarrow as pa
import pytest

from clients.drill.schema import Feature, FeatureKind, Schema
from clients.drill.stability import indices, psi

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("is_categorical", [False, True])
def test_the_index_is_zero_for_the_same_and_grows_with_the_change(is_categorical: bool) -> None:
    values = RNG.integers(0, 30, 2000).astype(np.float64)
    some_gone, all_gone = values.copy(), np.full(2000, np.nan)
    some_gone[:300] = np.nan
    index = [psi(values, v, is_categorical=is_categorical) for v in (values, some_gone, all_gone)]
    assert index[0] == 0
    assert 0.1 < index[1] < index[2]


def test_every_feature_has_its_index() -> None:
    age, tags = RNG.normal(size=500), [[7] * (n % 5) for n in range(500)]
    before = pa.table({"age": age, "tags": tags})
    after = pa.table({"age": age, "tags": [[7] * 4] * 500})
    features = Feature("age", FeatureKind.NUMERIC), Feature("tags", FeatureKind.ID_LIST)
    found = indices(Schema(features), before, after)
    assert found["age"] == 0
    assert found["tags"] > 1
