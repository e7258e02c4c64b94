"""Sizes chosen by the O(1) bootstrap against resamples of that size drawn one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.aggregator.domain.block import Population
from services.aggregator.domain.bootstrap import resampled_importances
from services.aggregator.domain.errors import InvalidTolerance
from services.aggregator.domain.gfi import Column, Columns, Weights, gather, importances
from services.aggregator.domain.sample_size import needed_sizes, scaled_sizes
from tests.unit.services.aggregator.worlds import block, lfis

C, D = Population.CONSIDERED, Population.DISPLAYED
SCALES = (1.0, 0.5, 0.1)
Rows = dict[Population, NDArray[np.float32]]
WORLDS: dict[str, Rows] = {
    "considered": {C: lfis(1, 900)},
    "rare": {D: lfis(2, 1500, coverage=0.05)},
    "both": {C: lfis(3, 1200), D: lfis(4, 300, scales=(3.0, 0.5, 0.4))},
}


def columns_of(rows: Rows) -> Columns:
    return gather([block(r, population=p).pane for p, r in rows.items()], len(SCALES))


def brute_errors(rows: Rows, size: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Standard errors of all features, by drawing `size` examples again and again."""
    rng = np.random.default_rng(seed)
    each = -(-size // len(rows))
    draws = [
        importances(columns_of({p: r[rng.integers(0, len(r), each)] for p, r in rows.items()}))[0]
        for _ in range(resamples)
    ]
    return np.asarray(np.std(draws, axis=0, ddof=1))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("size", [60, 4000])
def test_errors_at_another_size_are_those_of_brute_force(world: str, size: int) -> None:
    rows = WORLDS[world]
    columns = columns_of(rows)
    each = size // 2
    alone = Weights(size * (C in rows), size * (D in rows))
    sized = Weights(each, each) if len(rows) == 2 else alone
    fast = [
        resampled_importances(column, 20_000, np.random.default_rng(5), sized).std()
        for column in columns
    ]
    assert fast == pytest.approx(brute_errors(rows, size, 1500, seed=6), rel=0.1)


@pytest.mark.parametrize("world", WORLDS)
def test_every_error_is_under_the_tolerance_at_the_size_and_not_below(world: str) -> None:
    rows, tolerance = WORLDS[world], 0.03
    sizes = needed_sizes(columns_of(rows), tolerance, 4000, seed=7)
    size = int(sizes.max())
    assert brute_errors(rows, size, 1500, seed=8).max() == pytest.approx(tolerance, rel=0.08)
    assert brute_errors(rows, size // 2, 1500, seed=9).max() > 1.2 * tolerance


def test_half_the_tolerance_takes_about_four_times_the_examples() -> None:
    columns = columns_of(WORLDS["both"])
    coarse, fine = (needed_sizes(columns, t, 4000, seed=7).max() for t in (0.04, 0.02))
    assert fine / coarse == pytest.approx(4, rel=0.15)


def test_standard_errors_alone_give_about_the_same_size() -> None:
    columns = columns_of(WORLDS["considered"])
    rng = np.random.default_rng(1)
    errors = np.array([resampled_importances(c, 4000, rng).std() for c in columns])
    scaled = scaled_sizes(errors, columns.weights, 0.03)
    assert scaled.max() == pytest.approx(needed_sizes(columns, 0.03, 4000, 7).max(), rel=0.15)


def test_the_same_seed_gives_the_same_sizes() -> None:
    columns = columns_of(WORLDS["both"])
    first, again = (needed_sizes(columns, 0.03, 200, seed=1).tolist() for _ in range(2))
    assert first == again


def test_a_feature_without_entries_needs_next_to_nothing() -> None:
    rows = lfis(1, 500)
    rows[:, 1] = 0
    assert needed_sizes(columns_of({C: rows}), 0.03, 500, seed=1)[1] == 1


def test_a_tolerance_beyond_any_window_is_refused() -> None:
    with pytest.raises(InvalidTolerance, match="larger standard error"):
        needed_sizes(columns_of(WORLDS["both"]), 1e-9, 100, seed=1)


def test_a_column_of_one_entry() -> None:
    keys = np.array([0x7F00_0000], dtype=np.uint32)
    column = Column(keys, Weights(100, 0))
    draws = resampled_importances(column, 1000, np.random.default_rng(1), Weights(10_000, 0))
    expected = column.median * np.sqrt(0.01 * 0.99 / 10_000)
    assert draws.std() == pytest.approx(expected, rel=0.1)
