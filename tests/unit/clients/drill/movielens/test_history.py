"""Every prefix statistic equals its definition, written as a loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clients.drill.movielens.history import History, Ints

ROWS = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 9), st.integers(0, 5)), max_size=30)


def _arrays(rows: list[tuple[int, int, int]]) -> tuple[Ints, Ints, Ints]:
    """Keys, values, and seconds that never decrease."""
    table = np.array(rows, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], np.cumsum(table[:, 2]) + 1_000


def _before(keys: Ints, row: int) -> list[int]:
    """Earlier rows of the same key, most recent first."""
    return [other for other in range(row - 1, -1, -1) if keys[other] == keys[row]]


@given(ROWS)
def test_counts_and_sums(rows: list[tuple[int, int, int]]) -> None:
    keys, values, _ = _arrays(rows)
    history = History(keys)
    pasts = [_before(keys, row) for row in range(len(keys))]
    assert history.count().tolist() == [len(past) for past in pasts]
    assert history.total(values).tolist() == [sum(values[past]) for past in pasts]
    assert history.total_of_last(values, 2).tolist() == [sum(values[past[:2]]) for past in pasts]
    wide = np.stack([values, 2 * values], axis=1)
    assert history.total(wide)[:, 1].tolist() == [2 * sum(values[past]) for past in pasts]


@given(ROWS)
def test_what_came_last(rows: list[tuple[int, int, int]]) -> None:
    keys, values, _ = _arrays(rows)
    history = History(keys)
    pasts = [_before(keys, row) for row in range(len(keys))]
    assert history.previous(3).tolist() == [(past + [-1] * 3)[:3] for past in pasts]
    assert history.last(values, -7).tolist() == [values[p[0]] if p else -7 for p in pasts]
    even = values % 2 == 0
    matching = [[row for row in past if even[row]] for past in pasts]
    assert history.previous_where(even, 2).tolist() == [(m + [-1] * 2)[:2] for m in matching]


@given(ROWS, st.integers(0, 8))
def test_counts_within_a_time_span(rows: list[tuple[int, int, int]], span: int) -> None:
    keys, _, seconds = _arrays(rows)
    expected = [
        sum(seconds[row] - seconds[other] <= span for other in _before(keys, row))
        for row in range(len(keys))
    ]
    assert History(keys).count_within(seconds, span).tolist() == expected


def test_negative_keys_are_unknown() -> None:
    assert History(np.array([-1, 0, 5])).known.tolist() == [False, True, True]
