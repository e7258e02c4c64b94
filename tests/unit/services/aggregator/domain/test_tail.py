import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.tail import FEWEST_SCORES, Tail


def test_exponential_scores_have_exponential_tails() -> None:
    tail = Tail.of(np.random.default_rng(0).exponential(2.0, (2000, 10)))
    expected = np.exp(-np.array([1.0, 6.0, 20.0]) / 2)
    assert np.log(tail(np.array([1.0, 6.0, 20.0]))) == pytest.approx(np.log(expected), abs=0.6)


@given(st.lists(st.floats(0, 1e6), min_size=FEWEST_SCORES, max_size=200), st.floats(0, 1e9))
def test_a_higher_score_is_no_likelier(scores: list[float], asked: float) -> None:
    tail = Tail.of(np.array([scores]).T)
    lower, higher = tail(np.array([asked, asked * 2 + 1]))
    assert 0 < higher <= lower * 1.01
    assert lower <= 1


def test_scores_that_hardly_differ_make_no_miracles() -> None:
    assert Tail.of(np.ones((100, 1)))(np.array([1.5]))[0] > 1e-3


def test_a_short_past_makes_rare_scores_less_rare() -> None:
    scores = np.random.default_rng(1).exponential(1.0, (400, 10))
    few, many = Tail.of(scores.reshape(4, 1000)), Tail.of(scores)
    asked = np.array([3.5, 15.0])
    assert few(asked)[0] == pytest.approx(many(asked)[0], rel=0.2)
    assert few(asked)[1] > 10 * many(asked)[1]
