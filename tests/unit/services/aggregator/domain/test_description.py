"""What a person is told of each kind of feature."""

import numpy as np
import pytest

from services.aggregator.domain.checkpoint import Feature, FeatureKind
from services.aggregator.domain.description import Description, describe
from services.aggregator.domain.profile import SCALE, Profile
from services.aggregator.domain.quantity import Quantity, layout_of
from services.aggregator.domain.sketch import FURTHEST, Ragged

FEATURES = (
    Feature("age", FeatureKind.NUMERIC),
    Feature("gender", FeatureKind.CATEGORICAL),
    Feature("genres", FeatureKind.ID_LIST),
    Feature("affinity", FeatureKind.WEIGHTED_ID_LIST),
    Feature("poster", FeatureKind.EMBEDDING),
    Feature("user", FeatureKind.ENCODED_EMBEDDING),
)
ONE = int(np.float32(1.0).view(np.uint32) >> 20)


def ragged(rows: list[dict[int, int]], dtype: type) -> Ragged:
    return Ragged(
        np.cumsum([0, *map(len, rows)]).astype(np.uint32),
        np.array([key for row in rows for key in row], dtype=dtype),
        np.array([count for row in rows for count in row.values()], dtype=np.uint32),
    )


PROFILE = Profile(
    example_count=1000,
    baseline_rate=np.array([0.25, 0, 0, 0, 1, 0], dtype=np.float32),
    buckets=ragged(
        [
            {-ONE: SCALE // 2, ONE + 8: SCALE // 2},
            {3: SCALE},
            {ONE: SCALE},
            {5: SCALE},
            {ONE: SCALE},
            {ONE + 1: SCALE},
            {7: SCALE},
            {},
            {FURTHEST: SCALE},
        ],
        np.int16,
    ),
    hitters=ragged([{-4: SCALE // 4, 9: SCALE // 2}, {}, {1: SCALE}], np.int64),
    correlations=np.array([-0.5, 0.125, np.nan, 0.75], dtype=np.float32),
)


def described(name: str) -> Description:
    place = [feature.name for feature in FEATURES].index(name)
    return describe(FEATURES, place, PROFILE)


def test_distributions_are_in_the_contracts_order() -> None:
    found = [(each.feature, each.quantity.value) for each in layout_of(FEATURES).distributions]
    assert found == [
        (0, "VALUE"),
        (1, "ID"),
        (2, "LENGTH"),
        (2, "ID"),
        (3, "LENGTH"),
        (3, "WEIGHT_SUM"),
        (3, "ID"),
        (4, "NORM"),
        (5, "NORM"),
    ]


def test_a_number_has_quantiles_and_a_correlation() -> None:
    found = described("age")
    assert (found.example_count, found.baseline_rate) == (1000, 0.25)
    (value,) = found.quantities
    assert value.quantiles == [-1.0625] * 4 + [2.125] * 3
    assert (value.correlation, value.heavy_hitters) == (-0.5, ())


def test_ids_have_heavy_hitters_the_most_frequent_first() -> None:
    (ids,) = described("gender").quantities
    assert [(hitter.id, hitter.frequency) for hitter in ids.heavy_hitters] == [(9, 0.5), (-4, 0.25)]
    assert (ids.quantiles, ids.correlation) == ((), None)


def test_a_list_has_both_and_each_its_own() -> None:
    lengths, weights, ids = described("affinity").quantities
    assert [each.quantity for each in (lengths, weights, ids)] == [
        Quantity.LENGTH,
        Quantity.WEIGHT_SUM,
        Quantity.ID,
    ]
    # A length that never changes has no correlation; the sum of weights has.
    assert (lengths.correlation, weights.correlation) == (None, 0.75)
    assert [hitter.id for hitter in ids.heavy_hitters] == [1]
    assert described("genres").quantities[0].correlation == 0.125


def test_a_feature_that_is_nowhere_present_has_no_quantiles() -> None:
    (norm,) = described("poster").quantities
    assert (norm.quantiles, norm.correlation) == ([], None)


def test_vectors_that_are_no_numbers_have_infinite_norms() -> None:
    (norm,) = described("user").quantities
    assert norm.quantiles == [np.inf] * 7


@pytest.mark.parametrize("feature", range(len(FEATURES)))
def test_without_a_profile_nothing_is_known(feature: int) -> None:
    found = describe(FEATURES, feature, None)
    assert (found.feature, found.example_count) == (FEATURES[feature], 0)
    assert not found.quantities
