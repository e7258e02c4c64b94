"""Presence and ablation of every kind of feature."""

import numpy as np
import pytest

from services.attribution.domain.checkpoint import Feature
from tests.checkpoints import SCHEMA, random_examples

EXAMPLES = random_examples(count=40, seed=5)


@pytest.mark.parametrize("feature", SCHEMA.features, ids=lambda f: f.name)
def test_ablation_leaves_nothing_of_the_feature_and_all_of_the_others(feature: Feature) -> None:
    ablated = EXAMPLES.ablated([feature])
    for other in SCHEMA.features:
        present = ablated.present(other)
        assert present.tolist() == (EXAMPLES.present(other) & (other != feature)).tolist()
    assert EXAMPLES.present(feature).any()


@pytest.mark.parametrize("feature", SCHEMA.features, ids=lambda f: f.name)
def test_rows_are_ablated_in_place(feature: Feature) -> None:
    everywhere = EXAMPLES.ablated([feature])
    some = EXAMPLES.take(np.arange(40))
    some.ablate_rows(feature, slice(10, 20))
    for name, array in some.arrays.items():
        assert np.array_equal(array[10:20], everywhere.arrays[name][10:20])
        assert np.array_equal(array[:10], EXAMPLES.arrays[name][:10])
        assert np.array_equal(array[20:], EXAMPLES.arrays[name][20:])


def test_features_are_ablated_together() -> None:
    nothing = EXAMPLES.ablated(SCHEMA.features)
    for name, value in SCHEMA.baseline_row().items():
        assert (nothing.arrays[name] == value).all()


def test_padding_repeats_the_last_example() -> None:
    padded = EXAMPLES.padded(43)
    assert padded.count == 43
    for name, array in padded.arrays.items():
        assert np.array_equal(array[:40], EXAMPLES.arrays[name])
        assert (array[40:] == EXAMPLES.arrays[name][39]).all()
