import numpy as np
import pytest

from tests.bench.diagnosis.peers import psi
from tests.bench.diagnosis.tally import score
from tests.bench.diagnosis.trials import CONTROLS, Scored, Trial

RNG = np.random.default_rng(0)


def scored(ours: list[float], flags: list[bool], psis: list[float]) -> Scored:
    return Scored({"ours": np.array(ours), "psi": np.array(psis)}, np.array(flags), [])


def trial(found: Scored, culprits: list[int], *, is_visible: bool = True) -> Trial:
    return Trial(1, culprits, is_visible, dict.fromkeys(CONTROLS, found))


@pytest.mark.parametrize("is_categorical", [False, True])
def test_the_index_is_zero_for_the_same_and_grows_with_the_change(is_categorical: bool) -> None:
    values = RNG.integers(0, 30, 2000).astype(np.float64)
    some_gone, all_gone = values.copy(), np.full(2000, np.nan)
    some_gone[:300] = np.nan
    index = [psi(values, v, is_categorical=is_categorical) for v in (values, some_gone, all_gone)]
    assert index[0] == 0
    assert 0.1 < index[1] < index[2]


def test_what_is_found_among_the_first_counts() -> None:
    half = trial(scored([5, 4, 3, 2], [True, False, False, True], [1, 2, 3, 4]), [0, 3])
    none = trial(
        scored([1, 2, 3, 4], [False, True, False, False], [9, 0, 0, 0]), [0], is_visible=False
    )
    clean = [scored([0, 0, 0, 0], [False, True, False, False], [0, 0, 2, 0])]
    ours = score([half, none], "earlier_window", "ours", 2, clean)
    assert ours.as_json() == {
        "recall": 0.25,
        "at_least_one_visible": 1.0,
        "false_flags_per_clean_window": 37.5,
        "detection_at_that": 0.667,
    }
    drifting = score([half, none], "distractors", "ours", 2, clean)
    assert drifting.false_flags == pytest.approx(150 / 4 / 2)
    peer = score([half, none], "same_rows", "psi", 2, clean)
    assert peer.recall is not None
    assert peer.recall.mean == 0.75
