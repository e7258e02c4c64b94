import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.significance import survivors, two_sided_p

# (t, degrees, P(|T| >= t)), by numerical integration of the density.
EXACT = [(2.306, 8, 0.05), (5.0, 8, 1.05e-3), (8.0, 8, 4.37e-5), (3.0, 30, 5.39e-3)]


@pytest.mark.parametrize(("t", "degrees", "exact"), EXACT)
def test_p_is_students(t: float, degrees: int, exact: float) -> None:
    (p,) = two_sided_p(np.array([-t]), degrees)
    assert exact * 0.99 <= p <= exact * 1.1


def test_no_shift_at_all_is_certain_to_be_chance() -> None:
    assert two_sided_p(np.array([0.0]), 8).tolist() == [1.0]


def test_benjamini_and_hochbergs_own_example() -> None:
    # Table 1 of the 1995 paper: at 5 % the four smallest are rejected.
    p = [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
        *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
    ]
    assert survivors(np.array(p)).tolist() == [True] * 4 + [False] * 11


@given(st.lists(st.floats(0, 1), max_size=30))
def test_survivors_are_those_up_to_the_last_that_passes(p: list[float]) -> None:
    ordered = sorted(p)
    passing = [x for k, x in enumerate(ordered, 1) if x <= 0.05 * k / len(p)]
    expected = [x <= max(passing) for x in p] if passing else [False] * len(p)
    assert survivors(np.array(p)).tolist() == expected
