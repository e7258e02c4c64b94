"""One suite for every AuditRepository."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.audit.adapters.file_audits import FileAudits
from services.audit.adapters.memory_audits import MemoryAudits
from services.audit.domain.audit import Audit, AuditState, Failure, audit_name
from services.audit.domain.errors import AuditNotDone, AuditNotFound, CannotKeep, InvalidParameters
from services.audit.domain.parameters import (
    AuditParameters,
    Centrality,
    ConcentrationParameters,
    InsertionParameters,
    LabelCountsFile,
    LabelRowsFile,
    LargerSetParameters,
    Measure,
    SaliencyParameters,
    ThresholdParameters,
)
from services.audit.domain.report import AuditReport, LabelRanking
from services.audit.domain.severity import assessed
from services.audit.interrupt import Interrupt
from services.audit.ports import AuditRepository
from tests.unit.services.audit.domain.test_difference import CLASSES
from tests.unit.services.audit.domain.test_severity import FLIPS, HUB, LEAN

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)
MEASURE = Measure(Centrality.BETWEENNESS, is_weighted=True, pivots=8)
EVERYTHING = AuditParameters(
    measures=(MEASURE,),
    excluded=("person",),
    sweep=(15, 30),
    concentration=ConcentrationParameters(past=(LabelRowsFile("past.parquet"),)),
    larger_sets=LargerSetParameters(5, 10),
    insertion=InsertionParameters("models/m", "watched", "examples.parquet"),
    saliency=SaliencyParameters("models/m", "features.5", "images.parquet", "mask", 27, 27),
    thresholds=ThresholdParameters("scores.parquet"),
    lineage_node="dataset:ads:clicks",
)
FINDING = replace(
    HUB,
    rankings=(LabelRanking(MEASURE, 1, 0.25),),
    classes=CLASSES,
    concentration=LEAN,
    insertion=FLIPS,
)
REPORT = assessed(AuditReport(100, 10, 20, (FINDING,), notes=("note",)), model_count=2)

Open = Callable[[], AuditRepository]


@pytest.fixture(params=["memory", "file"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Open the repository as a new process would; memory stays the one it is."""
    memory = MemoryAudits()
    if request.param == "memory":
        return lambda: memory
    return lambda: FileAudits(tmp_path / "audits", most_kept=5)


def audit(number: int, parameters: AuditParameters | None = None) -> Audit:
    return Audit(
        name=audit_name(str(number)),
        snapshot=LabelRowsFile(f"{number}.parquet", outcome_column="clicked"),
        parameters=parameters or AuditParameters(),
        seed=number,
        create_time=NOW + timedelta(minutes=number),
    )


def done(it: Audit) -> Audit:
    return it.ended(AuditState.DONE, NOW)


async def test_what_is_kept_comes_back_whole(open_again: Open) -> None:
    await open_again().add(audit(1, EVERYTHING))
    await open_again().change(audit_name("1"), done, REPORT)
    assert await open_again().get(audit_name("1")) == done(audit(1, EVERYTHING))
    assert await open_again().report(audit_name("1")) == REPORT


async def test_counts_stay_counts(open_again: Open) -> None:
    counted = Audit(audit_name("c"), LabelCountsFile("counts"), AuditParameters(), 0, NOW)
    await open_again().add(counted)
    assert await open_again().get(counted.name) == counted


async def test_adding_twice_keeps_the_first(open_again: Open) -> None:
    audits = open_again()
    await audits.add(audit(1))
    await audits.change(audit_name("1"), lambda it: it.at(0.5, "half way"))
    assert (await audits.add(audit(1))).stage == "half way"


async def test_what_is_not_there_is_not_found(open_again: Open) -> None:
    audits = open_again()
    with pytest.raises(AuditNotFound, match="there is no audits/none"):
        await audits.get("audits/none")
    with pytest.raises(AuditNotFound):
        await audits.report("audits/none")
    with pytest.raises(AuditNotFound):
        await audits.change("audits/none", done)


async def test_a_report_comes_with_the_end(open_again: Open) -> None:
    audits = open_again()
    await audits.add(audit(1))
    with pytest.raises(AuditNotDone, match="is queued: it has no report"):
        await audits.report(audit_name("1"))


async def test_the_newest_come_first_page_by_page(open_again: Open) -> None:
    audits = open_again()
    for number in (2, 1, 3):
        await audits.add(audit(number))
    first = await audits.newest(None, 2)
    assert [it.seed for it in first] == [3, 2]
    assert [it.seed for it in await audits.newest(first[-1].name, 2)] == [1]
    assert await audits.newest(audit_name("1"), 2) == []
    with pytest.raises(InvalidParameters, match="not a next_page_token"):
        await audits.newest("audits/gone", 2)


async def test_what_has_ended_stays_as_it_ended(open_again: Open) -> None:
    audits = open_again()
    await audits.add(audit(1))
    await audits.change(audit_name("1"), lambda it: it.ended(AuditState.CANCELLED, NOW))
    await audits.change(audit_name("1"), done, REPORT)
    assert (await audits.change(audit_name("1"), lambda it: it.at(0.5, "x"))).stage == "cancelled"
    with pytest.raises(AuditNotDone, match="cancelled"):
        await audits.report(audit_name("1"))


async def test_what_was_under_way_is_marked_interrupted(open_again: Open) -> None:
    failed = Failure("NoMultiLabelRows", "no row holds two labels", "ids")
    for number in range(4):
        await open_again().add(audit(number))
    await open_again().change(audit_name("1"), lambda it: it.at(0.5, "half way"))
    await open_again().change(audit_name("2"), lambda it: it.ended(AuditState.FAILED, NOW, failed))
    assert await Interrupt(open_again())() == 3
    states = [it.state for it in await open_again().newest(None, 9)]
    assert states == [AuditState.INTERRUPTED, AuditState.FAILED, *[AuditState.INTERRUPTED] * 2]
    assert (await open_again().get(audit_name("2"))).failure == failed
    assert await Interrupt(open_again())() == 0


async def test_files_of_the_oldest_ended_go_first(tmp_path: Path) -> None:
    audits = FileAudits(tmp_path, most_kept=3)
    for number in range(5):
        await audits.add(audit(number))
        if number in (1, 2):
            await audits.change(audit_name(str(number)), done, REPORT)
    assert [it.seed for it in await audits.newest(None, 9)] == [4, 3, 0]
    assert sum(len(files) for _, _, files in os.walk(tmp_path)) == 3


async def test_what_a_death_left_half_written_goes_and_what_is_damaged_stays(
    tmp_path: Path,
) -> None:
    await FileAudits(tmp_path, most_kept=5).add(audit(1))
    (tmp_path / "A-0.tmp").write_text('{"name": "audi')
    (tmp_path / "A-0.json").write_text('{"name": "audi')
    audits = FileAudits(tmp_path, most_kept=5)
    assert [it.seed for it in await audits.newest(None, 9)] == [1]
    assert not (tmp_path / "A-0.tmp").exists()
    assert (tmp_path / "A-0.json").exists()


async def test_what_cannot_be_written_is_told_and_nothing_else_is_lost(tmp_path: Path) -> None:
    audits = FileAudits(tmp_path / "audits", most_kept=5)
    await audits.add(audit(1))
    shutil.rmtree(tmp_path / "audits")
    with pytest.raises(CannotKeep, match=r"audits cannot be kept in .*: No such file"):
        await audits.add(audit(2))
    with pytest.raises(CannotKeep):
        await audits.change(audit_name("1"), done, REPORT)
    assert (await audits.get(audit_name("1"))).state is AuditState.QUEUED
    assert (await audits.change(audit_name("1"), lambda it: it.at(0.5, "x"))).stage == "x"
    ended = await audits.change(audit_name("1"), lambda it: it.ended(AuditState.FAILED, NOW))
    assert ended.state is AuditState.FAILED


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        FileAudits(tmp_path / "file" / "audits", most_kept=5)
