import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from clients.drill.ads.population import AdsSettings
from clients.drill.ads.world import AdsWorld
from tests.bench.__main__ import benchmarks
from tests.bench.diagnosis.draws import DRIFTS, GROUPS, changes_all, draw
from tests.bench.diagnosis.peers import ks
from tests.bench.diagnosis.tally import score
from tests.bench.diagnosis.trials import CONTROLS, Scored, Trial

RNG = np.random.default_rng(0)


def scored(ours: list[float], flags: list[bool], psis: list[float]) -> Scored:
    return Scored({"ours": np.array(ours), "psi": np.array(psis)}, np.array(flags), [])


def trial(found: Scored, culprits: list[int], *, is_visible: bool = True) -> Trial:
    return Trial("1", culprits, is_visible, dict.fromkeys(CONTROLS, found))


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=40),
    st.lists(st.integers(-3, 3), min_size=1, max_size=40),
)
def test_the_statistic_is_scipys(one: list[int], other: list[int]) -> None:
    found = ks(np.array(one, dtype=np.float64), np.array(other, dtype=np.float64))
    assert found == pytest.approx(ks_2samp(one, other, method="asymp").statistic)


def test_what_goes_missing_changes_the_statistic_by_its_share() -> None:
    values = RNG.normal(size=1000)
    some_gone = values.copy()
    some_gone[:300] = np.nan
    assert ks(values, some_gone) == pytest.approx(0.3, abs=0.03)
    assert ks(values, np.full(10, np.nan)) == 1.0


@pytest.mark.parametrize("case", [*GROUPS["paper"], *GROUPS["pipeline"]])
def test_a_draw_changes_what_it_says_and_lets_others_drift(case: str) -> None:
    world = AdsWorld(AdsSettings(features=60, users=200, ads=50, requests=60))
    names, examples = world.schema.names(), world.play(0).examples.select(world.schema.names())
    gfi = RNG.permutation(len(names)).astype(np.float64)
    drawn = draw(case, world.schema, examples, gfi, (3, 1))
    assert drawn == draw(case, world.schema, examples, gfi, (3, 1))
    assert changes_all(drawn.corruption, examples)
    drifting = {names.index(name) for name in drawn.drifts.culprits}
    assert not drifting.intersection(map(names.index, drawn.corruption.culprits))
    assert 0 < len(drifting) <= DRIFTS
    assert all(gfi[place] < np.median(gfi) for place in drifting)
    broken = drawn.corruption.apply(examples).table
    changed = {name for name in names if not broken[name].equals(examples[name])}
    assert changed == set(drawn.corruption.culprits)


def test_every_benchmark_is_run_and_nothing_else() -> None:
    assert benchmarks() == [
        "aggregator",
        "attribution",
        "audit",
        "diagnosis",
        "lineage",
        "runbook",
    ]


def test_what_is_found_among_the_first_counts() -> None:
    half = trial(scored([5, 4, 3, 2], [True, False, False, True], [1, 2, 3, 4]), [0, 3])
    none = trial(
        scored([1, 2, 3, 4], [False, True, False, False], [9, 0, 0, 0]), [0], is_visible=False
    )
    clean = [scored([0, 0, 0, 0], [False, True, False, False], [0, 0, 2, 0])]
    ours = score([half, none], "earlier_window", "ours", 2, clean)
    assert ours.as_json() == {
        "recall": 0.25,
        "recall_error": 0.25,
        "at_least_one": 0.5,
        "at_least_one_error": 0.5,
        "at_least_one_visible": 1.0,
        "at_least_one_visible_error": 0.0,
        "false_flags_per_clean_window": 37.5,
        "detection_at_that": 0.667,
    }
    drifting = score([half, none], "distractors", "ours", 2, clean)
    assert drifting.false_flags == pytest.approx(150 / 4 / 2)
    peer = score([half, none], "same_rows", "psi", 2, clean)
    assert peer.recall is not None
    assert peer.recall.mean == 0.75
