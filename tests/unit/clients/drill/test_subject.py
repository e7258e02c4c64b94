"""A user's own examples become windows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clients.drill.errors import CheckpointError
from clients.drill.subject import OwnColumns, SubjectError, subject_of_parquet
from tests.checkpoints import SCHEMA, arrow_table, random_examples, small_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("checkpoint") / "ads")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    table = arrow_table(random_examples(count=100))
    table = table.append_column("at", pa.array(np.arange(100)[::-1]))
    table = table.append_column("shown", pa.array(["considered", "displayed", None, "other"] * 25))
    pq.write_table(table, tmp_path / "mine.parquet")
    return tmp_path / "mine.parquet"


def test_the_last_windows_are_taken_in_the_order_of_time(file: Path, checkpoint: Path) -> None:
    subject = subject_of_parquet(file, checkpoint, 30, 9, OwnColumns("at", "shown", "gender"))
    assert subject.schema.names() == tuple(feature.name for feature in SCHEMA.features)
    assert (subject.name, subject.key, len(subject.slices)) == ("mine", "gender", 3)
    times = [at for piece in subject.slices for at in piece.examples["at"].to_pylist()]
    assert times == list(range(10, 100))
    first = subject.slices[0]
    assert first.displayed is not None
    shown = [word == "displayed" for word in first.examples["shown"].to_pylist()]
    assert first.displayed.tolist() == shown
    few = subject_of_parquet(file, checkpoint, 10, 4)
    assert [piece.examples.num_rows for piece in few.slices] == [10] * 4
    assert few.slices[0].displayed is None
    assert few.slices[-1].examples.slice(9).to_pylist() == (
        pq.read_table(file, columns=list(few.schema.names())).slice(99).to_pylist()
    )


def test_what_cannot_be_drilled_is_told(file: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="pass fewer --rows"):
        subject_of_parquet(file, checkpoint, 40, 9)
    with pytest.raises(SubjectError, match="no column 'when'"):
        subject_of_parquet(file, checkpoint, 10, 9, OwnColumns(time="when"))
    with pytest.raises(CheckpointError, match="manifest"):
        subject_of_parquet(file, tmp_path, 10, 9)
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(SubjectError, match="cannot be read"):
        subject_of_parquet(tmp_path / "text", checkpoint, 10, 9)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="trained_until"):
        subject_of_parquet(file, tmp_path / "odd", 10, 9)
