import numpy as np
import pytest

from services.aggregator.domain.block import Population
from services.aggregator.domain.checkpoint import Feature, FeatureKind
from services.aggregator.domain.history import HistoricalNoise, historical_noise
from services.aggregator.domain.ranking import (
    descending_ranks,
    rank_importances,
    rank_shifts,
    shifts_of,
)
from services.aggregator.domain.summary import Summary, summarise
from tests.unit.services.aggregator.worlds import block, lfis

NAMES = ("a", "b", "c", "d")
FEATURES = [Feature(name, FeatureKind.NUMERIC) for name in NAMES]


def summary(gfi: list[float], error: float = 0.01, coverage: float = 0.5) -> Summary:
    m = len(gfi)
    return Summary(500, 500, np.array(gfi), np.full(m, coverage), np.full(m, error))


QUIET = HistoricalNoise(np.zeros(4), change_count=20)


def test_equal_values_rank_in_the_checkpoints_order() -> None:
    assert descending_ranks(np.array([1.0, 3.0, 1.0, 3.0])).tolist() == [3, 1, 4, 2]


def test_importances_come_by_rank() -> None:
    ranked = rank_importances(FEATURES, summary([0.1, 0.4, 0.2, 0.3]))
    assert [i.feature.name for i in ranked] == ["b", "d", "c", "a"]
    assert [i.rank for i in ranked] == [1, 2, 3, 4]
    assert ranked[0].gfi == 0.4


def test_features_rank_by_the_size_of_their_shift_whatever_its_sign() -> None:
    ranking = rank_shifts(
        FEATURES, summary([0.4, 0.3, 0.2, 0.1]), summary([0.4, 0.1, 0.21, 0.6], coverage=0.7), QUIET
    )
    assert [s.feature.name for s in ranking.shifts] == ["d", "b", "c", "a"]
    d, b, *_ = ranking.shifts
    assert (d.rank, d.control_rank, d.anomaly_rank) == (1, 4, 1)
    assert (d.control_gfi, d.anomaly_gfi) == (0.1, 0.6)
    assert (d.control_coverage, d.anomaly_coverage) == (0.5, 0.7)
    assert d.shift == pytest.approx(0.5)
    assert b.shift == pytest.approx(-0.2)


def test_ranked_by_anything_else_a_feature_keeps_its_rank_by_the_size_of_its_shift() -> None:
    control, anomaly = summary([0.4, 0.3, 0.2, 0.1]), summary([0.1, 0.5, 0.21, 0.1])
    shifts = shifts_of(FEATURES, control, anomaly, QUIET)
    ranking = shifts.ranked(np.array([1.0, 2.0, 4.0, 3.0]), shifts.judgement(), top_k=3)
    assert [(s.feature.name, s.rank, s.shift_rank) for s in ranking.shifts] == [
        ("c", 1, 3),
        ("d", 2, 4),
        ("b", 3, 2),
    ]


def test_z_combines_both_windows_bootstrap_with_the_history() -> None:
    noise = HistoricalNoise(np.full(4, 0.07**2), change_count=20)
    control, anomaly = summary([1.0] * 4, error=0.03), summary([1.5, 1, 1, 1], error=0.04)
    top = rank_shifts(FEATURES, control, anomaly, noise).shifts[0]
    error = np.sqrt(0.03**2 + 0.04**2 + 0.07**2 + 0.001**2)
    assert top.z == pytest.approx(0.5 / error)
    assert (top.lower, top.upper) == pytest.approx(
        (0.5 - 1.96 * error, 0.5 + 1.96 * error), rel=1e-4
    )


def test_only_what_stands_out_of_the_noise_is_significant() -> None:
    control = summary([0.4, 0.3, 0.2, 0.1])
    quiet = rank_shifts(FEATURES, control, summary([0.41, 0.3, 0.19, 0.1]), QUIET)
    loud = rank_shifts(FEATURES, control, summary([0.41, 0.3, 0.19, 0.5]), QUIET)
    assert quiet.significant_count == 0
    assert [s.feature.name for s in loud.shifts if s.significant] == ["d"]


def test_a_feature_that_wakes_up_for_next_to_nothing_does_not_stand_out() -> None:
    control = summary([0.4, 0.3, 0.2, 0.0], error=0.0)
    anomaly = summary([0.4, 0.3, 0.2, 1e-5], error=0.0)
    assert rank_shifts(FEATURES, control, anomaly, QUIET).significant_count == 0


def test_false_discoveries_stay_rare_on_windows_that_do_not_differ() -> None:
    """Twenty pairs of windows of the same 40 features: at most 5 % give any discovery at all."""
    features = [Feature(f"f{j}", FeatureKind.NUMERIC) for j in range(40)]

    def measured(seed: int) -> Summary:
        panes = [
            block(lfis(seed * 2 + k, 600, [1.0] * 40), population=population).pane
            for k, population in enumerate(Population)
        ]
        return summarise(panes, 40, f"w{seed}", resamples=200)

    past = [measured(seed) for seed in range(10)]
    pairs = [(n, n - 1) for n in range(1, 10)]
    discoveries = 0
    for seed in range(10, 30):
        noise = historical_noise(past[-1], past, pairs)
        discoveries += rank_shifts(features, past[-1], measured(seed), noise).significant_count > 0
    assert discoveries <= 1


def test_no_features_have_no_shifts() -> None:
    none = Summary(0, 0, np.zeros(0), np.zeros(0), np.zeros(0))
    assert rank_shifts([], none, none, HistoricalNoise(np.zeros(0), 0)).shifts == []
