from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.aggregator.domain.diagnosis import Diagnosis, History, diagnose
from services.aggregator.domain.past import Moves
from services.aggregator.domain.portrait import Frame
from services.aggregator.domain.shift import FeatureShift, RankBy
from services.aggregator.domain.signals import SIGNALS, Signal
from services.aggregator.domain.summary import Summary
from tests.unit.services.aggregator.domain.windows_of import World, wandering

WORLD = wandering(20)
FRAME = Frame.of(WORLD.schema)
PAST = [WORLD.summary(seed) for seed in range(9)]


def history(summaries: Sequence[Summary] = PAST, phases: Sequence[int] = ()) -> History:
    pairs = [(n, n - 1) for n in range(1, len(summaries))]
    each = np.array(phases or [0] * (len(summaries) + 1), dtype=np.intp)
    return History.of(FRAME, summaries, pairs, each)


def diagnosed(
    world: World, seed: int = 100, rank_by: RankBy = RankBy.EVIDENCE, past: History | None = None
) -> Diagnosis:
    return diagnose(WORLD.schema, PAST[-1], world.summary(seed), past or history(), rank_by)


def first(found: Diagnosis) -> FeatureShift:
    return found.ranking.shifts[0]


@pytest.mark.parametrize(
    ("changes", "signal"),
    [
        ({"coverage": 0.3}, Signal.COVERAGE_CHANGE),
        ({"mean": 30.0}, Signal.VALUE_DISTANCE),
        ({"importance": 0.5}, Signal.LFI_DISTANCE),
        ({"importance": -0.13}, Signal.MFC_SHIFT),
    ],
)
def test_the_feature_that_broke_comes_first_with_what_speaks_for_it(
    changes: dict[str, float], signal: Signal
) -> None:
    found = first(diagnosed(WORLD.broken(2, **changes)))
    assert (found.feature.name, found.rank, found.significant) == ("f2", 1, True)
    strengths = {each.signal: each.strength for each in found.evidence}
    assert strengths[signal] > 3
    assert list(strengths.values()) == sorted(strengths.values(), reverse=True)
    assert set(strengths) == set(SIGNALS)


def test_a_harmless_drift_does_not_win() -> None:
    """The model hardly uses f19, whose values change beyond recognition; it does use f2."""
    found = diagnosed(WORLD.broken(19, mean=8.0).broken(2, coverage=0.45)).ranking.shifts
    assert [shift.feature.name for shift in found[:2]] == ["f2", "f19"]


def test_clean_windows_are_hardly_ever_flagged() -> None:
    flags = [diagnosed(WORLD, seed).ranking.significant_count for seed in range(100, 130)]
    # Five in a hundred windows with any flag is what the rate allows for.
    assert sum(flag > 0 for flag in flags) <= 4


def test_the_chance_of_a_clean_windows_score_is_no_less_than_it_is() -> None:
    chances = [diagnosed(WORLD, seed).chance for seed in range(100, 130)]
    assert np.mean([chance is not None and chance < 0.2 for chance in chances]) <= 0.3
    broken = diagnosed(WORLD.broken(2, coverage=0.3)).chance
    assert broken is not None
    assert broken < 1e-3


def test_a_whim_of_the_control_is_no_evidence() -> None:
    """What differs from the control alone, and is as usual, is not what broke."""
    control = WORLD.broken(2, coverage=0.3).summary(50)
    found = diagnose(WORLD.schema, control, WORLD.summary(100), history())
    assert "f2" not in {s.feature.name for s in found.ranking.shifts if s.significant}


@pytest.mark.parametrize("rank_by", [each for each in RankBy if each is not RankBy.EVIDENCE])
def test_every_signal_can_be_ranked_by(rank_by: RankBy) -> None:
    world = WORLD.broken(2, coverage=0.3, mean=9.0, importance=-0.3)
    found = diagnosed(world, rank_by=rank_by).ranking.shifts
    assert [shift.rank for shift in found] == list(range(1, 21))
    if rank_by is not RankBy.MFC_SHIFT:
        changed = [_change(shift, Signal[rank_by.value]) for shift in found]
        assert changed == pytest.approx(sorted(changed, reverse=True))
    by_evidence = diagnosed(world).ranking.shifts
    assert {s.feature.name: s.score for s in by_evidence} == {
        s.feature.name: s.score for s in found
    }


def test_the_papers_rank_stands_beside() -> None:
    found = diagnosed(WORLD.broken(10, coverage=0.2)).ranking.shifts
    by_shift = sorted(found, key=lambda shift: -abs(shift.shift))
    assert [shift.shift_rank for shift in by_shift] == list(range(1, 21))
    assert found[0].feature.name == "f10" != by_shift[0].feature.name


def test_a_short_past_leaves_the_gfi_shift_alone() -> None:
    found = diagnosed(WORLD.broken(0, coverage=0.2), past=history(PAST[:3]))
    assert found.chance is None
    assert [each.signal for each in first(found).evidence] == [Signal.GFI_SHIFT]
    assert first(found).rank == first(found).shift_rank == 1


def test_summaries_from_before_sketches_still_make_a_past() -> None:
    older = [replace(summary, profile=None, quantiles=None) for summary in PAST[:4]]
    found = diagnosed(WORLD.broken(2, coverage=0.3), past=history([*older, *PAST[4:]]))
    assert first(found).feature.name == "f2"
    assert found.chance is not None


def test_seasons_are_told_apart() -> None:
    """Two kinds of hours take turns; a window of one kind is held against its own kind."""
    night = World([replace(f, coverage=0.5) for f in WORLD.features])
    hours = [(night if n % 2 else WORLD).summary(n) for n in range(12)]
    pairs = [(n, n - 2) for n in range(2, 12)]
    phases = np.array([n % 2 for n in range(13)], dtype=np.intp)
    anomaly = WORLD.broken(3, coverage=0.6).summary(200)
    told, blurred = (
        diagnose(WORLD.schema, hours[10], anomaly, History.of(FRAME, hours, pairs, each))
        for each in (phases, np.zeros_like(phases))
    )
    assert first(told).feature.name == "f3"
    assert first(told).score > _of(blurred, "f3").score


def test_noise_without_a_change_is_the_noise_of_the_others() -> None:
    rng = np.random.default_rng(3)
    seen = [rng.random((len(SIGNALS), 6)) for _ in range(5)]
    seen[1][:, 2] = np.nan
    floors = np.full(len(SIGNALS), 1e-3)
    for place, change in enumerate(seen):
        others = Moves.of(np.delete(seen, place, axis=0))
        without = Moves.of(np.stack(seen)).without(change)
        np.testing.assert_allclose(without.noise(floors), others.noise(floors))


def _change(shift: FeatureShift, signal: Signal) -> float:
    return next(each.change for each in shift.evidence if each.signal is signal)


def _of(found: Diagnosis, name: str) -> FeatureShift:
    return next(shift for shift in found.ranking.shifts if shift.feature.name == name)
