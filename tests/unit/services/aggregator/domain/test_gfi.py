"""Equations 3 and 4 against their definition, computed with exact fractions."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.gfi import gather, importances
from tests.unit.services.aggregator.worlds import block

FEATURES = 3
# Few distinct magnitudes, so that ties and halves happen.
ENTRIES = st.sampled_from([0.0, 0.0, 0.5, -0.5, 1.0, -2.0, 3.0, 1e-30, -3e38])
ROWS = st.lists(st.tuples(*[ENTRIES] * FEATURES), max_size=12)


def dense(rows: Sequence[tuple[float, ...]]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32).reshape(-1, FEATURES)


def panes(rows: Sequence[tuple[float, ...]], population: Population) -> list[Pane]:
    return [block(dense(rows), population=population).pane] if rows else []


def both(
    considered: Sequence[tuple[float, ...]], displayed: Sequence[tuple[float, ...]]
) -> list[Pane]:
    return panes(considered, Population.CONSIDERED) + panes(displayed, Population.DISPLAYED)


def by_definition(
    considered: Sequence[tuple[float, ...]], displayed: Sequence[tuple[float, ...]], feature: int
) -> tuple[float, float]:
    """Importance and coverage of one feature, entry by entry."""
    populations = [rows for rows in (considered, displayed) if rows]
    weighted = [
        (float(abs(np.float32(row[feature]))), Fraction(1, len(populations) * len(rows)))
        for rows in populations
        for row in rows
    ]
    entries = sorted((value, weight) for value, weight in weighted if value)
    coverage = sum((weight for _, weight in entries), Fraction(0))
    if not entries:
        return 0.0, 0.0
    upto = [
        (value, sum(weight for other, weight in entries if other <= value)) for value, _ in entries
    ]
    lower = min(value for value, weight in upto if weight >= coverage / 2)
    upper = min(value for value, weight in upto if weight > coverage / 2)
    return float(coverage) * ((lower + upper) / 2), float(coverage)


@given(ROWS, ROWS)
def test_importance_and_coverage_follow_their_definition(
    considered: Sequence[tuple[float, ...]], displayed: Sequence[tuple[float, ...]]
) -> None:
    gfi, coverage = importances(gather(both(considered, displayed), FEATURES))
    for feature in range(FEATURES):
        expected = by_definition(considered, displayed, feature)
        assert (gfi[feature], coverage[feature]) == expected


@given(ROWS.filter(bool), st.sampled_from(Population))
def test_one_population_has_all_the_weight_and_numpys_median(
    rows: Sequence[tuple[float, ...]], population: Population
) -> None:
    gfi, coverage = importances(gather(panes(rows, population), FEATURES))
    for feature, column in enumerate(dense(rows).T.astype(np.float64)):
        present = np.abs(column[column != 0])
        share = len(present) / len(column)
        assert coverage[feature] == share
        assert gfi[feature] == (share * np.median(present) if share else 0.0)


@given(ROWS.filter(bool))
def test_populations_of_equal_size_give_numpys_median(rows: Sequence[tuple[float, ...]]) -> None:
    gfi, _ = importances(gather(both(rows, rows[::-1]), FEATURES))
    alone, _ = importances(gather(panes([*rows, *rows], Population.CONSIDERED), FEATURES))
    assert gfi.tolist() == alone.tolist()


@given(ROWS, ROWS, st.data())
def test_neither_the_order_of_blocks_nor_their_cut_matters(
    considered: Sequence[tuple[float, ...]],
    displayed: Sequence[tuple[float, ...]],
    data: st.DataObject,
) -> None:
    whole = gather(both(considered, displayed), FEATURES)
    pieces: list[Pane] = []
    for rows, population in (
        (considered, Population.CONSIDERED),
        (displayed, Population.DISPLAYED),
    ):
        shuffled = data.draw(st.permutations(rows))
        cut = data.draw(st.integers(0, len(rows)))
        pieces += panes(shuffled[:cut], population) + panes(shuffled[cut:], population)
    cut_up = gather(data.draw(st.permutations(pieces)), FEATURES)
    assert cut_up.keys.tolist() == whole.keys.tolist()
    assert [part.tolist() for part in importances(cut_up)] == [
        part.tolist() for part in importances(whole)
    ]


def test_an_example_of_the_smaller_population_weighs_more() -> None:
    # 1 displayed example has the weight of 3 considered ones: coverage (1/3 + 1) / 2.
    considered = [(1.0, 0, 0), (0.0, 0, 0), (0.0, 0, 0)]
    gfi, coverage = importances(gather(both(considered, [(5.0, 0, 0)]), FEATURES))
    assert coverage[0] == 2 / 3
    assert gfi[0] == 2 / 3 * 5.0


def test_half_of_the_weight_on_either_side_takes_the_mean() -> None:
    # 2 considered entries together weigh as much as the displayed one.
    gfi, _ = importances(gather(both([(1.0, 0, 0), (2.0, 0, 0)], [(8.0, 0, 0)]), FEATURES))
    assert gfi[0] == (2.0 + 8.0) / 2


def test_a_window_without_examples_has_no_importances() -> None:
    gfi, coverage = importances(gather([], FEATURES))
    assert gfi.tolist() == coverage.tolist() == [0.0, 0.0, 0.0]
