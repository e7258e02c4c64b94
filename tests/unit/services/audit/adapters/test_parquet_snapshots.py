"""Parquet as rows, counts, scores and examples, and what is wrong with it in one line."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.domain.errors import (
    AuditError,
    MalformedCounts,
    MalformedLabels,
    NoMultiLabelRows,
    SnapshotRefused,
)
from services.audit.domain.parameters import LabelCountsFile, LabelRowsFile, ThresholdParameters
from tests.snapshots import write_counts, write_rows

ROWS = [["wheel", "car"], ["car"], [], ["tree", "wheel"]]


@pytest.fixture
def source(tmp_path: Path) -> ParquetSnapshots:
    return ParquetSnapshots([tmp_path])


def test_rows_come_with_their_labels_and_outcomes(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", ROWS, outcome=["a", "b", "a", "b"])
    read = source.rows(LabelRowsFile(str(file), outcome_column="outcome"))
    assert read.rows.names == ("car", "tree", "wheel")
    assert read.rows.offsets.tolist() == [0, 2, 3, 3, 5]
    assert read.rows.ids.tolist() == [2, 0, 0, 1, 2]
    assert read.outcomes is not None
    assert read.outcomes.names == ("a", "b")
    assert read.outcomes.codes.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int64()),
        pa.large_list(pa.int32()),
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
    ],
)
def test_labels_may_be_numbers_or_text(
    source: ParquetSnapshots, tmp_path: Path, kind: pa.DataType
) -> None:
    labels = pa.array([["3", "12"], ["12"], None]).cast(pa.list_(pa.string()))
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"row_id": [1, 2, 3], "labels": labels.cast(kind)}), file)
    read = source.rows(LabelRowsFile(str(file)))
    assert [read.rows.names[label] for label in read.rows.ids] == ["3", "12", "12"]
    assert read.rows.row_count == 3


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        ({"row_id": [1, 2, 1], "labels": [["a", "b"]] * 3}, MalformedLabels, "rows 0 and 2"),
        ({"row_id": [1, 2], "labels": [["a"], ["b"]]}, NoMultiLabelRows, "no row holds two"),
        ({"row_id": [1], "labels": [["a", "b", "a"]]}, MalformedLabels, "holds label 'a' twice"),
        ({"row_id": [1], "labels": [["a", None]]}, MalformedLabels, "row 0: a list in 'labels'"),
        ({"row_id": [1], "labels": ["a"]}, SnapshotRefused, "must hold a list by row"),
        ({"row_id": [1], "labels": [[1.5, 2.5]]}, SnapshotRefused, "strings, integers"),
        ({"row_id": [None], "labels": [["a", "b"]]}, SnapshotRefused, "'row_id' holds null"),
        ({"id": [1], "labels": [["a", "b"]]}, SnapshotRefused, "no column 'row_id': it has 'id'"),
        ({"row_id": [], "labels": []}, SnapshotRefused, "holds no row"),
    ],
)
def test_bad_rows_are_told_from_each_other(
    source: ParquetSnapshots,
    tmp_path: Path,
    columns: dict[str, list[object]],
    error: type[AuditError],
    says: str,
) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), file)
    with pytest.raises(error, match=says):
        source.rows(LabelRowsFile(str(file)))


def test_files_outside_the_roots_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    outside = write_rows(tmp_path / "rows.parquet", ROWS)
    link = tmp_path / "inside" / "link.parquet"
    link.symlink_to(outside)
    source = ParquetSnapshots([tmp_path / "inside"])
    for file in (outside, link, tmp_path / "inside" / ".." / "rows.parquet"):
        with pytest.raises(SnapshotRefused, match="outside of the service's snapshot roots"):
            source.rows(LabelRowsFile(str(file)))
        with pytest.raises(SnapshotRefused, match="outside"):
            source.examples(str(file), 1)


def test_what_is_no_parquet_is_refused(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    file.write_text("row_id,labels")
    with pytest.raises(SnapshotRefused, match="not a Parquet file"):
        source.rows(LabelRowsFile(str(file)))
    with pytest.raises(SnapshotRefused, match="not a file"):
        source.check(str(tmp_path / "none.parquet"))


def test_counts_become_a_matrix(source: ParquetSnapshots, tmp_path: Path) -> None:
    counts = {("a", "b"): 3, ("b", "a"): 3, ("a", "a"): 9}
    read = source.counts(LabelCountsFile(str(write_counts(tmp_path / "counts.parquet", counts))))
    assert read.names == ("a", "b")
    assert read.counts.tolist() == [[9, 3], [3, 0]]


def test_a_pair_is_counted_once(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = tmp_path / "counts.parquet"
    pq.write_table(pa.table({"label": ["a", "a"], "other": ["b", "b"], "count": [1, 2]}), file)
    with pytest.raises(MalformedCounts, match="'a' with 'b' is counted twice"):
        source.counts(LabelCountsFile(str(file)))


def test_scores_are_paired_with_what_a_person_says(
    source: ParquetSnapshots, tmp_path: Path
) -> None:
    file = tmp_path / "scores.parquet"
    table = {"labels": [["a", "b"], ["a"]], "scores": [[0.9, 0.2], [0.6]], "truth": [["a"], ["c"]]}
    pq.write_table(pa.table(table), file)
    scored = source.scores(ThresholdParameters(str(file)))
    assert sorted(zip(scored.scores, scored.truth, strict=True)) == [
        (0.0, True),
        (0.2, False),
        (0.6, False),
        (0.9, True),
    ]
    logits = source.scores(ThresholdParameters(str(file), are_logits=True))
    odds = 1 / (1 + np.exp(-0.7))
    np.testing.assert_allclose(sorted(logits.scores), [0, 1 - odds, odds, 1.0])


def test_scores_without_a_label_are_refused(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"
    table = {"labels": [["a"], ["a"]], "scores": [[0.9], [0.2, 0.1]], "truth": [["a"], []]}
    pq.write_table(pa.table(table), file)
    with pytest.raises(MalformedLabels, match="row 1: there must be one score for each label"):
        source.scores(ThresholdParameters(str(file)))


def test_examples_are_the_first_ones_as_arrow(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = tmp_path / "examples.parquet"
    masks = [[False, True], [True, False], [True, True]]
    pq.write_table(pa.table({"watched": [[1], [2], [3]], "mask": masks}), file)
    with pa.ipc.open_stream(source.examples(str(file), 2, ["mask"])) as stream:
        assert stream.read_all().to_pydict() == {"watched": [[1], [2]]}
    read = source.masks(str(file), "mask", (2, 1, 2))
    assert read.tolist() == [[[False, True]], [[True, False]]]
    with pytest.raises(SnapshotRefused, match="lists of 2 x 2 elements"):
        source.masks(str(file), "mask", (2, 2, 2))
