"""Parquet as rows, counts, scores and examples, and what is wrong with it in one line."""

import os
import random
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
        pa.list_(pa.string_view()),
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
        ({"row_id": [1], "labels": [["x" * 1025, "y"]]}, MalformedLabels, "1025 characters"),
        ({"row_id": [1], "labels": [[["a"], ["b"]]]}, SnapshotRefused, "strings, integers"),
        ({"row_id": [1], "labels": [[b"a", b"b"]]}, SnapshotRefused, "holds binary"),
        ({"row_id": [1], "labels": [[1.0, float("nan")]]}, SnapshotRefused, "holds double"),
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


def test_text_that_is_none_is_refused(source: ParquetSnapshots, tmp_path: Path) -> None:
    text = pa.array([b"\xff\xfe", b"a"])
    broken = pa.Array.from_buffers(pa.string(), 2, text.buffers())
    labels = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), broken)
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"row_id": [1], "labels": labels}), file)
    with pytest.raises(SnapshotRefused, match="'labels' holds text that is not UTF-8"):
        source.rows(LabelRowsFile(str(file)))


def test_each_purpose_takes_a_column_of_its_own(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", ROWS)
    with pytest.raises(SnapshotRefused, match="each takes a column of its own"):
        source.rows(LabelRowsFile(str(file), row_id_column="labels"))
    columns = [pa.array(["1"]), pa.array(["2"]), pa.array([["a", "b"]])]
    pq.write_table(pa.Table.from_arrays(columns, names=["row_id", "row_id", "labels"]), file)
    with pytest.raises(SnapshotRefused, match="two columns 'row_id'"):
        source.rows(LabelRowsFile(str(file)))


def test_folders_named_like_partitions_add_no_columns(
    source: ParquetSnapshots, tmp_path: Path
) -> None:
    folder = tmp_path / "row_id=7" / "labels=x"
    folder.mkdir(parents=True)
    read = source.rows(LabelRowsFile(str(write_rows(folder / "rows.parquet", ROWS))))
    assert read.rows.names == ("car", "tree", "wheel")


def test_paths_that_lead_nowhere_are_refused(source: ParquetSnapshots, tmp_path: Path) -> None:
    loop = tmp_path / "loop.parquet"
    loop.symlink_to(loop)
    (tmp_path / "folder.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    for name in ("loop.parquet", "folder.parquet", "pipe.parquet", "x" * 3000, "a\0b"):
        with pytest.raises(SnapshotRefused):
            source.check(str(tmp_path / name))


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


@pytest.mark.parametrize(
    ("count", "error", "says"),
    [
        (1.5, MalformedCounts, "holds 1.5: it must hold whole numbers"),
        (float("nan"), SnapshotRefused, "holds nan"),
        (float("inf"), SnapshotRefused, "holds inf"),
        (True, SnapshotRefused, "holds booleans"),
        (2**62, MalformedCounts, "at most 281,474,976,710,656"),
        ("3", SnapshotRefused, "must hold numbers"),
    ],
)
def test_counts_are_whole_numbers(
    source: ParquetSnapshots,
    tmp_path: Path,
    count: object,
    error: type[AuditError],
    says: str,
) -> None:
    file = tmp_path / "counts.parquet"
    table = {"label": ["a", "b"], "other": ["b", "a"], "count": [count] * 2}
    pq.write_table(pa.table(table), file)
    with pytest.raises(error, match=says):
        source.counts(LabelCountsFile(str(file)))
    pq.write_table(pa.table(table | {"count": [3.0, 3.0]}), file)
    assert source.counts(LabelCountsFile(str(file))).counts.tolist() == [[0, 3], [3, 0]]


def test_labels_of_counts_are_text_or_numbers(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = tmp_path / "counts.parquet"
    table = {"label": pa.array([0, 1]).cast(pa.timestamp("s")), "other": [1, 0], "count": [1, 1]}
    pq.write_table(pa.table(table), file)
    with pytest.raises(SnapshotRefused, match="'label' holds timestamp"):
        source.counts(LabelCountsFile(str(file)))


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"scores": [[7.0]]}, MalformedLabels, r"scores are in \[0, 1\]"),
        ({"scores": [[float("nan")]]}, SnapshotRefused, "holds nan"),
        ({"labels": [[["a"]]]}, SnapshotRefused, "strings, integers"),
    ],
)
def test_bad_scores_are_told_from_each_other(
    source: ParquetSnapshots,
    tmp_path: Path,
    changed: dict[str, list[object]],
    error: type[AuditError],
    says: str,
) -> None:
    file = tmp_path / "scores.parquet"
    table = {"labels": [["a"]], "scores": [[0.5]], "truth": [["a"]]}
    pq.write_table(pa.table(table | changed), file)
    with pytest.raises(error, match=says):
        source.scores(ThresholdParameters(str(file)))


def test_rows_without_any_label_hold_no_two(source: ParquetSnapshots, tmp_path: Path) -> None:
    labels = pa.array([[], None], pa.list_(pa.string()))
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"row_id": [1, 2], "labels": labels}), file)
    with pytest.raises(NoMultiLabelRows, match="no row holds a label"):
        source.rows(LabelRowsFile(str(file)))


def test_rows_without_any_label_have_no_threshold(source: ParquetSnapshots, tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"
    kind = pa.list_(pa.string())
    none, text = pa.array([[]], pa.list_(pa.float64())), pa.array([[]], kind)
    pq.write_table(pa.table({"labels": text, "scores": none, "truth": text}), file)
    for are_logits in (False, True):
        with pytest.raises(MalformedLabels, match="no row has a label"):
            source.scores(ThresholdParameters(str(file), are_logits=are_logits))
    table = {"labels": text, "scores": none, "truth": pa.array([["a"]], kind)}
    pq.write_table(pa.table(table), file)
    assert source.scores(ThresholdParameters(str(file), are_logits=True)).truth.tolist() == [True]


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


def test_a_file_that_was_damaged_is_refused_or_read(
    source: ParquetSnapshots, tmp_path: Path
) -> None:
    whole = write_rows(tmp_path / "whole.parquet", ROWS * 5, mask=[[True, False]] * 20).read_bytes()
    draw = random.Random(3)
    file = tmp_path / "damaged.parquet"
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 3, 20])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        file.write_bytes(damaged)
        for read in (
            lambda: source.rows(LabelRowsFile(str(file))),
            lambda: source.examples(str(file), 5, ["mask"]),
            lambda: source.masks(str(file), "mask", (5, 1, 2)),
        ):
            try:
                read()
            except AuditError:
                refused += 1
    assert refused > 100
    name = whole.replace(b"row_id", b"r\xff\xfe_id")
    file.write_bytes(name)
    with pytest.raises(SnapshotRefused, match="is not a Parquet file: 'utf-8'"):
        source.check(str(file))
