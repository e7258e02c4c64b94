"""Measurements are prepared apart, taken when told, and leave nothing behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.bench.attribution.prepared import Measure, Prepared


@contextmanager
def _counting(folder: Path, answer: int) -> Iterator[Measure]:
    place = folder / str(answer)
    place.write_text(str(os.getpid()))
    yield lambda: {"answer": answer, "process": os.getpid()}
    place.unlink()


@contextmanager
def _failing() -> Iterator[Measure]:
    raise ValueError("no such model")
    yield dict


def test_each_is_prepared_in_a_process_of_its_own_and_taken_once(tmp_path: Path) -> None:
    with (
        Prepared(partial(_counting, tmp_path, 1)) as first,
        Prepared(partial(_counting, tmp_path, 2)) as second,
    ):
        first.wait()
        second.wait()
        owners = {int((tmp_path / name).read_text()) for name in ("1", "2")}
        taken = [second.taken(), first.taken()]
    assert [t["answer"] for t in taken] == [2, 1]
    assert {t["process"] for t in taken} == owners
    assert len(owners | {os.getpid()}) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_taken_is_given_back(tmp_path: Path) -> None:
    with (
        Prepared(partial(_counting, tmp_path, 1)) as first,
        Prepared(partial(_counting, tmp_path, 2)),
    ):
        first.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_told() -> None:
    with Prepared(_failing) as failing, pytest.raises(RuntimeError, match="says why"):
        failing.wait()
