"""Which of the selected features are enough."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runbook.domain.preview import JointAblation
from services.runbook.domain.smallest_set import MOST_SETS, recommend, sets_of
from tests.unit.services.runbook.builders import BROKEN, DIGEST, calibration

Sets = dict[tuple[str, ...], JointAblation]


def ablation(ratio: float, error: float = 0.01) -> JointAblation:
    return JointAblation(0.4, 0.4 * ratio, error, 2000, DIGEST)


def test_three_features_have_seven_sets() -> None:
    assert sets_of(("a", "b", "c")) == (
        ("a",),
        ("b",),
        ("c",),
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
        ("a", "b", "c"),
    )


@given(st.integers(1, 40))
def test_sets_are_bounded_different_and_end_with_the_whole(size: int) -> None:
    features = tuple(f"f{number}" for number in range(size))
    sets = sets_of(features)
    assert 1 <= len(sets) <= MOST_SETS
    assert len(set(sets)) == len(sets)
    assert sets[-1] == features
    assert [len(each) for each in sets] == sorted(len(each) for each in sets)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        # One feature does it all.
        ({"a": 0.77, "b": 0.99, "ab": 0.765}, "a"),
        # Both are needed.
        ({"a": 0.9, "b": 0.88, "ab": 0.77}, "ab"),
        # The second one makes it worse.
        ({"a": 0.77, "b": 0.8, "ab": 0.6}, "a"),
        # As good as the best, within the noise: the better of two single ones.
        ({"a": 0.78, "b": 0.77, "ab": 0.765}, "b"),
        # Nothing helps.
        ({"a": 1.0, "b": 1.3, "ab": 1.4}, ""),
        ({"a": 0.99, "b": 1.0, "ab": 0.99}, ""),
    ],
)
def test_the_smallest_set_that_does_as_well_as_the_best(
    ratios: dict[str, float], expected: str
) -> None:
    sets = {tuple(names): ablation(ratio) for names, ratio in ratios.items()}
    features, preview = recommend(calibration(BROKEN), sets)
    assert features == tuple(expected)
    assert preview.calibration == pytest.approx(BROKEN * ratios.get(expected, 1.0))
    others = [other.features for other in preview.alternatives]
    assert sorted((*others, features)) == sorted(((), *sets))


@given(
    st.lists(st.floats(0.5, 2.0), min_size=7, max_size=7),
    st.floats(0.5, 2.0),
    st.floats(0.001, 0.1),
)
def test_what_is_recommended_is_never_distinguishably_worse(
    ratios: list[float], realised: float, error: float
) -> None:
    names = [tuple(c) for size in (1, 2, 3) for c in combinations("abc", size)]
    sets: Sets = {n: ablation(r, error) for n, r in zip(names, ratios, strict=True)}
    broken = calibration(realised)
    features, preview = recommend(broken, sets)
    _, sure = recommend(broken, {n: ablation(r, 1e-9) for n, r in zip(names, ratios, strict=True)})
    if features:
        assert preview.calibration == pytest.approx(realised * ratios[names.index(features)])
    best = min([realised, *(realised * r for r in ratios)], key=lambda c: max(c, 1 / c))
    assert max(sure.calibration, 1 / sure.calibration) == pytest.approx(max(best, 1 / best))
