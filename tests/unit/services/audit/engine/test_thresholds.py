import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.domain.errors import InvalidParameters
from services.audit.engine.thresholds import calibrate_threshold, confidences, machine_labels


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 30))
def test_counts_both_kinds_of_errors_by_brute_force(seed: int, labels: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 8, (rows, labels)) / 7
    truth = generator.random((rows, labels)) < 0.4
    grid = np.linspace(0, 1, 15)
    found = calibrate_threshold(scores, truth, grid)
    for i, threshold in enumerate(grid):
        said = scores >= threshold
        assert found.false_positives[i] == (said & ~truth).sum()
        assert found.false_negatives[i] == (~said & truth).sum()
    gaps = np.abs(found.false_positives - found.false_negatives)
    assert gaps[grid.tolist().index(found.chosen)] == gaps.min()


def test_chooses_the_crossing() -> None:
    scores = np.array([[0.999, 0.2], [0.95, 0.9], [0.4, 0.97]])
    truth = np.array([[True, False], [True, False], [False, True]])
    assert calibrate_threshold(scores, truth, np.array([0.3, 0.93, 0.99])).chosen == 0.93


def test_confidences_of_the_top_logits_sum_to_one() -> None:
    scores = confidences(np.array([[[1000.0, 999.0], [0.0, 0.0]]], dtype=np.float32))
    assert scores.sum(axis=-1) == pytest.approx(np.ones((1, 2)))
    assert scores[0, 0, 0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_a_row_takes_its_highest_confidence_in_a_label() -> None:
    scores = np.array([[[0.9, 0.1], [0.6, 0.4]]])
    labels = np.array([[[2, 0], [0, 2]]])
    assert machine_labels(scores, labels, 3).tolist() == [[0.6, 0.0, 0.9]]


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="must have one shape"):
        calibrate_threshold(np.zeros((2, 3)), np.zeros((2, 2), np.bool_), np.array([0.5]))
