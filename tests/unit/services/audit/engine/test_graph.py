import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.errors import InvalidParameters, MalformedCounts, TooLargeForExact
from services.audit.domain.rows import LabelRows
from services.audit.engine import graph as graph_module
from services.audit.engine.graph import CooccurrenceGraph

NAMES = ("a", "b", "c", "d")
ROWS = st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=30)


def rows_of(labels: list[set[int]]) -> LabelRows:
    return LabelRows.of(NAMES, [sorted(row) for row in [*labels, {0, 1}]])


@given(ROWS)
def test_counts_are_the_rows_that_hold_both(labels: list[set[int]]) -> None:
    graph = CooccurrenceGraph.from_rows(rows_of(labels), 1)
    rows = [*labels, {0, 1}]
    for i in range(4):
        for j in range(4):
            both = sum(i in row and j in row for row in rows) if i != j else 0
            assert graph.overlaps_with(i)[j] == both


@given(ROWS, st.integers(1, 5))
def test_an_edge_needs_at_least_min_overlaps(labels: list[set[int]], least: int) -> None:
    graph = CooccurrenceGraph.from_rows(rows_of(labels), least)
    counts = graph.counts.toarray()
    assert (graph.edges.toarray() == np.where(counts >= least, counts, 0)).all()
    assert (graph.degrees == (counts >= least).sum(axis=1)).all()


@pytest.mark.parametrize("pairs", [1, 10, 100])
def test_the_size_of_chunks_changes_nothing(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    rows = rows_of([set(generator.integers(0, 4, 3).tolist()) for _ in range(50)])
    whole = CooccurrenceGraph.from_rows(rows, 1).counts.toarray()
    monkeypatch.setattr(graph_module, "_CHUNK_PAIRS", pairs)
    assert (CooccurrenceGraph.from_rows(rows, 1).counts.toarray() == whole).all()


def test_a_matrix_and_its_rows_make_one_graph() -> None:
    rows = rows_of([{0, 1, 2}, {1, 2}, {3}])
    counted = CooccurrenceGraph.from_rows(rows, 2)
    matrix = counted.counts.toarray() + np.diag(rows.label_counts)
    taken = CooccurrenceGraph.from_matrix(NAMES, matrix, 2)
    assert (taken.edges.toarray() == counted.edges.toarray()).all()
    assert taken.label_counts is not None
    assert (taken.label_counts == rows.label_counts).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((0, 1, 5), "must be symmetric"),
        ((2, 2, -1), "not negative"),
    ],
)
def test_a_matrix_that_cannot_be_counts_is_refused(change: tuple[int, int, int], says: str) -> None:
    counts = np.zeros((4, 4), np.int64)
    counts[change[0], change[1]] = change[2]
    with pytest.raises(MalformedCounts, match=says):
        CooccurrenceGraph.from_matrix(NAMES, counts, 1)


def test_a_matrix_needs_a_row_for_each_name() -> None:
    with pytest.raises(MalformedCounts, match=r"\[4, 4\], not \[3, 3\]"):
        CooccurrenceGraph.from_matrix(NAMES, np.zeros((3, 3), np.int64), 1)


def test_an_edge_threshold_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="at least 1"):
        CooccurrenceGraph.from_matrix(NAMES, np.zeros((4, 4), np.int64), 0)


def test_labels_that_meet_too_often_to_be_counted_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graph_module, "MOST_PAIRS", 8)
    monkeypatch.setattr(graph_module, "_CHUNK_PAIRS", 1)
    with pytest.raises(TooLargeForExact, match="row 1 holds 3 labels"):
        CooccurrenceGraph.from_rows(rows_of([{0, 1}, {0, 1, 2}]), 1)
    with pytest.raises(TooLargeForExact, match="more than 8 pairs of labels meet"):
        CooccurrenceGraph.from_rows(rows_of([{0, 1}, {1, 2}, {2, 3}, {0, 3}, {0, 2}]), 1)


def test_a_label_meets_no_other_in_more_rows_than_hold_it() -> None:
    counts = np.array([[9, 5, 0], [5, 4, 0], [0, 0, 1]])
    with pytest.raises(MalformedCounts, match=f"4 rows hold '{NAMES[1]}', and 5 hold it together"):
        CooccurrenceGraph.from_matrix(NAMES[:3], counts, 1)
