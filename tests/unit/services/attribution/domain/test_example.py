"""Presence and ablation of every kind of feature."""

import numpy as np
import pytest

from services.attribution.domain.checkpoint import AnyFeature
from services.attribution.domain.example import Examples
from tests.checkpoints import GROUPED, SCHEMA, random_examples

EXAMPLES = random_examples(count=40, seed=5)
IN_GROUPS = Examples(GROUPED, EXAMPLES.arrays)
ALL = [(EXAMPLES, f) for f in SCHEMA.features] + [(IN_GROUPS, f) for f in GROUPED.features]
EACH = pytest.mark.parametrize(("examples", "feature"), ALL, ids=[f.name for _, f in ALL])


@EACH
def test_ablation_leaves_nothing_of_the_feature_and_all_of_the_others(
    examples: Examples, feature: AnyFeature
) -> None:
    ablated = examples.ablated([feature])
    for other in examples.schema.features:
        present = ablated.present(other)
        assert present.tolist() == (examples.present(other) & (other != feature)).tolist()
    assert examples.present(feature).any()


@EACH
def test_rows_are_ablated_in_place(examples: Examples, feature: AnyFeature) -> None:
    everywhere = examples.ablated([feature])
    some = examples.take(np.arange(40))
    some.ablate_rows(feature, slice(10, 20))
    for name, array in some.arrays.items():
        assert np.array_equal(array[10:20], everywhere.arrays[name][10:20])
        assert np.array_equal(array[:10], examples.arrays[name][:10])
        assert np.array_equal(array[20:], examples.arrays[name][20:])


@pytest.mark.parametrize("examples", [EXAMPLES, IN_GROUPS], ids=["single", "groups"])
def test_presence_is_counted(examples: Examples) -> None:
    expected = [examples.present(feature).sum() for feature in examples.schema.features]
    assert examples.present_counts().tolist() == expected


def test_a_group_is_present_where_any_member_is() -> None:
    for group in GROUPED.features[:2]:
        members = [EXAMPLES.present(column) for column in group.members]
        assert IN_GROUPS.present(group).tolist() == np.any(members, axis=0).tolist()
        assert len({tuple(present) for present in members}) == len(members)


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
