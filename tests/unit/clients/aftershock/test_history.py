"""A file of examples is cut into windows, whatever the order of its rows."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock import InvalidExamples
from aftershock._history import Columns, History, Outcomes

HOUR = timedelta(hours=1)
START = datetime(2026, 11, 20, 2, tzinfo=UTC)
COLUMNS = Columns("at", "shown", "considered", "score", "clicked")


def table(minutes: list[int], seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    count = len(minutes)
    return pa.table(
        {
            "at": pa.array(
                [START + timedelta(minutes=m) for m in minutes], pa.timestamp("us", "UTC")
            ),
            "shown": rng.choice(["considered", "displayed"], count),
            "score": rng.random(count),
            "clicked": pa.array(rng.integers(0, 2, count), mask=rng.random(count) < 0.2),
            "row": np.arange(count),
            "ids": [list(range(i % 3)) for i in range(count)],
        }
    )


def history(path: Path, examples: pa.Table, rows_a_group: int = 7, **changes: Any) -> History:
    pq.write_table(examples, path, row_group_size=rows_a_group)
    columns = Columns(**{**vars(COLUMNS), **changes})
    return History(path, columns, ["row", "ids"], HOUR)


def ignore(share: float) -> None:
    assert 0 < share <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 299), min_size=1, max_size=60), st.integers(1, 20))
def test_every_row_comes_once_in_its_window_and_population(
    tmp_path_factory: pytest.TempPathFactory, minutes: list[int], rows_a_group: int
) -> None:
    examples = table(minutes)
    path = tmp_path_factory.mktemp("history") / "file.parquet"
    read = history(path, examples, rows_a_group)
    populations, seen, ids = examples["shown"].to_pylist(), [], []
    for stretch in read.stretches(ignore):
        here = []
        for batch in read.batches(stretch, "d" * 64):
            rows = batch.examples["row"].to_pylist()
            assert batch.examples.column_names == ["row", "ids"]
            assert {populations[row] for row in rows} == {batch.population}
            times = [START + timedelta(minutes=minutes[row]) for row in rows]
            assert {(time - START) // HOUR for time in times} == {(stretch.start - START) // HOUR}
            assert batch.event_time == min(times)
            here += rows
            ids.append(batch.batch_id)
        assert len(here) == stretch.example_count
        seen += here
    assert sorted(seen) == list(range(len(minutes)))
    assert len(set(ids)) == len(ids)


def test_outcomes_are_of_the_rows_whose_label_is_known(tmp_path: Path) -> None:
    examples = table([5, 65, 10, 70, 20], seed=3)
    read = history(tmp_path / "file", examples, 2)
    first, second = (read.outcomes(stretch) for stretch in read.stretches(ignore))
    scores, labels = examples["score"].to_pylist(), examples["clicked"].to_pylist()
    for outcomes, rows in ((first, [0, 2, 4]), (second, [1, 3])):
        known = [row for row in rows if labels[row] is not None]
        assert outcomes is not None
        assert outcomes.expected == pytest.approx(sum(scores[row] for row in known))
        assert outcomes.observed == sum(labels[row] for row in known)


def test_no_outcome_is_known(tmp_path: Path) -> None:
    examples = table([5, 6]).set_column(3, "clicked", pa.nulls(2, pa.int64()))
    read = history(tmp_path / "file", examples)
    (stretch,) = read.stretches(ignore)
    assert read.outcomes(stretch) is None
    silent = history(tmp_path / "silent", examples, prediction=None, label=None)
    assert silent.outcomes(stretch) is None
    assert isinstance(history(tmp_path / "two", table([1] * 9)).outcomes(stretch), Outcomes)


def test_without_a_population_column_all_are_of_one(tmp_path: Path) -> None:
    read = history(tmp_path / "file", table([1, 2]), population=None, all_are="displayed")
    (stretch,) = read.stretches(ignore)
    assert stretch.counts == {"considered": 0, "displayed": 2}


def test_the_digest_is_the_files(tmp_path: Path) -> None:
    read = history(tmp_path / "file", table([1]))
    assert read.digest(ignore) == hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no Parquet")
    with pytest.raises(InvalidExamples, match="cannot be read as Parquet"):
        History(tmp_path / "text", COLUMNS, ["row"], HOUR)
    with pytest.raises(InvalidExamples, match="no column 'when'"):
        history(tmp_path / "file", table([1]), event_time="when")
    naive = table([1]).set_column(0, "at", pa.array([START], pa.timestamp("us")))
    with pytest.raises(InvalidExamples, match="with a time zone"):
        history(tmp_path / "file", naive)
    absent = table([1]).set_column(0, "at", pa.nulls(1, pa.timestamp("us", "UTC")))
    with pytest.raises(InvalidExamples, match="1 nulls in row group 0"):
        history(tmp_path / "file", absent).stretches(ignore)
    odd = table([1]).set_column(1, "shown", pa.array(["seen"]))
    with pytest.raises(InvalidExamples, match="holds seen in row group 0"):
        history(tmp_path / "file", odd).stretches(ignore)


def test_no_more_than_a_row_group_is_held(tmp_path: Path) -> None:
    groups, rows = 40, 2_000
    minutes = np.sort(np.random.default_rng(0).integers(0, 60 * groups, groups * rows)).tolist()
    wide = table(minutes).append_column(
        "wide", pa.array(np.random.default_rng(1).random((groups * rows, 20)).tolist())
    )
    path = tmp_path / "file.parquet"
    pq.write_table(wide, path, row_group_size=rows)
    program = (
        "import sys, pathlib, datetime, pyarrow as pa\n"
        "from aftershock._history import Columns, History\n"
        "columns = Columns('at', 'shown', 'considered', None, None)\n"
        "hour = datetime.timedelta(hours=1)\n"
        "read = History(pathlib.Path(sys.argv[1]), columns, ['row', 'ids', 'wide'], hour)\n"
        "print(sum(\n"
        "    batch.examples.num_rows\n"
        "    for stretch in read.stretches(lambda share: None)\n"
        "    for batch in read.batches(stretch, 'd' * 64)\n"
        "), pa.default_memory_pool().max_memory())\n"
    )
    said = subprocess.check_output([sys.executable, "-c", program, str(path)], text=True)
    seen, peak = map(int, said.split())
    bytes_a_group = wide.nbytes / groups
    assert seen == groups * rows
    # Arrow decodes on several threads: how many groups they hold for a moment is theirs to say.
    assert bytes_a_group / 2 < peak < wide.nbytes / 2
