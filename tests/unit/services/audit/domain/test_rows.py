import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.errors import MalformedLabels, NoMultiLabelRows, UnknownLabel
from services.audit.domain.rows import LabelRows

NAMES = ("cat", "dog", "wheel")


def test_counts_rows_by_label_and_names_them() -> None:
    rows = LabelRows.of(NAMES, [[0, 1], [1], [], [1, 0]])
    assert rows.row_count == 4
    assert rows.label_counts.tolist() == [2, 3, 0]
    assert rows.rows_with(rows.label("dog")).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([[0, 3]], r"row 0 holds id 3, outside \[0, 3\)"),
        ([[0, 1], [-1]], "row 1 holds id -1"),
        ([[1], [2, 0, 2]], "row 1 holds label 'wheel' twice"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(labels: list[list[int]], says: str) -> None:
    with pytest.raises(MalformedLabels, match=says):
        LabelRows.of(NAMES, labels)


def test_a_label_named_twice_is_refused() -> None:
    with pytest.raises(MalformedLabels, match="'cat' is named twice"):
        LabelRows.of(("dog", "cat", "cat"), [[0, 1]])


@pytest.mark.parametrize("offsets", [[0, 1], [0, 2, 1, 2], [1, 2], []])
def test_offsets_must_rise_to_the_number_of_entries(offsets: list[int]) -> None:
    with pytest.raises(MalformedLabels, match="offsets must rise from 0"):
        LabelRows(NAMES, np.array(offsets, np.int64), np.array([0, 1], np.int32))


def test_rows_of_single_labels_hold_nothing_to_audit() -> None:
    with pytest.raises(NoMultiLabelRows, match="co-occurrence needs rows with several"):
        LabelRows.of(NAMES, [[0], [1], []])


@pytest.mark.parametrize(
    ("name", "says"), [("cow", "no label is named"), ("wheel", "no row holds")]
)
def test_a_label_that_no_row_holds_is_unknown(name: str, says: str) -> None:
    with pytest.raises(UnknownLabel, match=says):
        LabelRows.of(NAMES, [[0, 1]]).label(name)


@given(st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=20))
def test_rows_with_a_label_are_those_that_list_it(labels: list[set[int]]) -> None:
    lists = [sorted(row) for row in [*labels, {0, 1}]]
    rows = LabelRows.of(NAMES, lists)
    for label in range(3):
        assert rows.rows_with(label).tolist() == [i for i, row in enumerate(lists) if label in row]
