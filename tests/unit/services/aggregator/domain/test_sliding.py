"""A window that slides has, after any steps, the importances of its panes counted anew."""

from collections.abc import Hashable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.bootstrap import standard_errors
from services.aggregator.domain.gfi import gather, importances
from services.aggregator.domain.sliding import SlidingWindow
from tests.unit.services.aggregator.worlds import block, lfis

# Few distinct magnitudes, so that ties and halves happen.
ENTRIES = st.sampled_from([0.0, 0.0, 0.5, -0.5, 1.0, -2.0, 3.0, 1e-30, -3e38])
PANES = st.builds(
    lambda rows, population: block(np.array(rows, dtype=np.float32), population=population).pane,
    st.lists(st.tuples(*[ENTRIES] * 3), min_size=1, max_size=8),
    st.sampled_from(Population),
)


def check(window: SlidingWindow, panes: Sequence[Pane], features: int) -> None:
    expected = importances(gather(panes, features))
    for found, wanted in zip(window.importances(), expected, strict=True):
        assert found.tolist() == wanted.tolist()
    errors = window.standard_errors(50, seed=7)
    assert errors.tolist() == standard_errors(gather(panes, features), 50, seed=7).tolist()


@settings(deadline=None)
@given(st.lists(st.one_of(PANES, st.none()), max_size=30))
def test_any_steps_give_what_counting_anew_gives(steps: Sequence[Pane | None]) -> None:
    window, held = SlidingWindow(3), dict[Hashable, Pane]()
    for number, step in enumerate(steps):
        if step is not None:
            window.enter(number, step)
            held[number] = step
        elif held:
            # Not always the oldest: a late pane may enter, and leave, out of turn.
            leaving = list(held)[number % len(held)]
            window.leave(leaving)
            del held[leaving]
        check(window, list(held.values()), 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-6, 6), st.integers(0, 9))
def test_a_median_that_wanders_is_followed(seed: int, drift: float, considered: int) -> None:
    rng = np.random.default_rng(seed)
    window, panes = SlidingWindow(3), list[Pane]()
    for step in range(40):
        scales = np.exp(drift * step / 10) * np.array([1.0, 1e-3, 1.0])
        population = list(Population)[int(rng.integers(10) < considered)]
        dense = lfis(int(rng.integers(2**32)), 60, scales.tolist(), coverage=0.7)
        panes.append(block(dense, population=population).pane)
        window.enter(step, panes[-1])
        if len(panes) > 10:
            panes.pop(0)
            window.leave(step - 10)
        check(window, panes, 3)


def test_an_empty_window_has_nothing_to_let_go() -> None:
    window = SlidingWindow(2)
    assert [part.tolist() for part in window.importances()] == [[0.0, 0.0]] * 2
    assert window.standard_errors(10, seed=1).tolist() == [0.0, 0.0]
    with pytest.raises(KeyError):
        window.leave("b1")
