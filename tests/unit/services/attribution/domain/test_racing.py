"""Races put out nobody who belongs to the top, save work, and say what they do not know."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.attribution.domain import racing
from services.attribution.domain.racing import Outcome, Race, Racing
from tests.unit.services.attribution.races import Matrix, first, full_gfi, is_right, left, run, step


def world(seed: int, examples: int = 3000, features: int = 20, step: float = 1.5) -> Matrix:
    """Return LFIs whose scales go down in steps of a factor."""
    generator = np.random.default_rng(seed)
    scales = generator.permutation(step ** -np.arange(features, dtype=np.float64))
    coverages = generator.uniform(0.3, 0.9, size=features)
    shape = (examples, features)
    values = scales * np.exp(generator.normal(size=shape)) * generator.choice([-1, 1], shape)
    return np.where(generator.random(shape) < coverages, values, 0).astype(np.float32)


def test_the_documented_race_is_settled_as_documented() -> None:
    assert doctest.testmod(racing, extraglobs={"np": np}) == (0, 6)


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_outcomes_are_the_full_answers_as_often_as_stated(confidence: float) -> None:
    matched = settled = ablated = present = 0
    races = 40
    for seed in range(races):
        lfis = world(seed)
        standing = run(lfis, Racing(5, confidence))
        matched += is_right(standing, full_gfi(lfis), 5)
        settled += standing.is_settled
        ablated += standing.pairs_ablated
        present += standing.pairs_ablated + standing.pairs_saved
    assert matched >= confidence * races
    assert settled >= races / 3
    assert present >= 2 * ablated


def test_bounds_hold_over_all_examples_of_the_stream() -> None:
    wrong = 0
    for seed in range(40):
        lfis = world(seed, features=12)
        standing = run(lfis[:700], Racing(3, 0.9))
        gfi = full_gfi(lfis)
        wrong += bool(((standing.lower > gfi) | (gfi > standing.upper)).any())
    # Of two sides only one is accounted for: twice the risk.
    assert wrong <= 0.2 * 40


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    top_k=st.integers(1, 6),
    batch=st.integers(20, 400),
    least_coverage=st.sampled_from([0.0, 0.2]),
)
def test_who_is_out_stays_out_and_bounds_only_narrow(
    seed: int, top_k: int, batch: int, least_coverage: float
) -> None:
    lfis = world(seed, examples=600, features=8, step=2.0)
    race = Race(Racing(top_k, 0.9, least_coverage), 8)
    before = race.standing()
    racing_before = race.racing
    for start in range(0, len(lfis), batch):
        now = step(race, lfis[start : start + batch])
        assert (now.lower >= before.lower).all()
        assert (now.upper <= before.upper).all()
        assert not (race.racing & ~racing_before).any()
        assert now.is_settled or not before.is_settled
        before, racing_before = now, race.racing
    present = np.count_nonzero(lfis)
    assert before.pairs_ablated + before.pairs_saved == present
    assert before.example_count == len(lfis)
    assert (before.example_counts[race.racing] == len(lfis)).all()


def test_a_settled_race_ablates_nothing_and_keeps_its_answer() -> None:
    lfis = world(3, step=3.0)
    race = Race(Racing(2, 0.9), 20)
    while not race.is_settled:
        step(race, lfis[:200])
    settled = race.standing()
    assert not race.racing.any()
    assert len(left(settled)) == 2
    after = step(race, lfis[:200])
    assert after.outcomes == settled.outcomes
    assert np.array_equal(after.gfi, settled.gfi)
    assert np.array_equal(after.example_counts, settled.example_counts)
    assert after.pairs_ablated == settled.pairs_ablated
    assert after.pairs_saved == settled.pairs_saved + np.count_nonzero(lfis[:200])


def test_equal_features_are_never_told_apart() -> None:
    column = world(1, features=1)
    standing = run(np.repeat(column, 2, axis=1), Racing(1, 0.5))
    assert not standing.is_settled
    assert standing.outcomes == [Outcome.OPEN, Outcome.OPEN]
    assert standing.pairs_saved == 0


def test_a_feature_that_is_hardly_seen_keeps_the_race_open_unless_it_is_left_out() -> None:
    lfis = world(0, features=4, step=1.0) * np.array([100, 1, 1, 1], dtype=np.float32)
    lfis[:, 3] = 0
    lfis[:5, 3] = 1e6
    lfis = lfis[np.random.default_rng(0).permutation(len(lfis))]
    all_features = run(lfis, Racing(1, 0.95))
    assert left(all_features) == {0, 3}
    assert not all_features.is_settled
    assert all_features.upper[3] == np.inf
    common = run(lfis, Racing(1, 0.95, least_coverage=0.05))
    assert common.is_settled
    assert common.outcomes == [Outcome.TOP, Outcome.OUT, Outcome.OUT, Outcome.TOO_RARE]


def test_estimates_are_of_the_examples_that_were_ablated() -> None:
    lfis = world(5, features=6)
    race = Race(Racing(2, 0.9), 6)
    standing = step(race, lfis[:500])
    assert standing.gfi == pytest.approx(full_gfi(lfis[:500]), rel=0.01)
    assert standing.coverage == pytest.approx(np.mean(lfis[:500] != 0, axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_an_open_race_names_the_first_nevertheless(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sizes = np.concatenate([1.05 ** -np.arange(12.0), np.full(8, 0.01)])
    lfis = (
        generator.permuted(np.tile(np.linspace(0.5, 1.5, 999), (20, 1)), axis=1).T * sizes
    ).astype(np.float32)
    standing = run(lfis, Racing(5, 0.95))
    assert not standing.is_settled
    assert len(left(standing)) < 20
    assert first(standing, 5) == set(range(5))
