"""One suite for every Analyst."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.adapters.process_analyst import ProcessAnalyst, analysis_command
from services.audit.adapters.thread_analyst import ThreadAnalyst
from services.audit.analyse import Analyse
from services.audit.domain.audit import Audit
from services.audit.domain.errors import (
    AuditError,
    NoMultiLabelRows,
    TooLargeForExact,
    UnknownLabel,
)
from services.audit.domain.parameters import AuditParameters, LabelRowsFile
from services.audit.ports import Analyst
from tests.snapshots import write_rows, write_scenes


@pytest.fixture(params=["thread", "process"])
def analyst(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Analyst]:
    if request.param == "thread":
        yield ThreadAnalyst(Analyse(ParquetSnapshots([tmp_path])))
    else:
        monkeypatch.setenv("AFTERSHOCK_AUDIT_SNAPSHOT_ROOTS", f'["{tmp_path}"]')
        yield ProcessAnalyst(analysis_command())


def audit(file: Path, parameters: AuditParameters | None = None) -> Audit:
    snapshot = LabelRowsFile(str(file))
    return Audit("audits/1", snapshot, parameters or AuditParameters(), 3, datetime.now(UTC))


async def test_it_reports_and_tells_how_far_it_is(analyst: Analyst, tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 1500)
    told: list[tuple[float, str]] = []

    async def progress(share: float, stage: str) -> None:
        told.append((share, stage))

    report = await analyst.analyse(audit(tmp_path / "rows.parquet"), progress)
    assert report.row_count == 1500
    assert "wheel" in {finding.label for finding in report.findings}
    assert told[0] == (0.02, "reading the snapshot")
    assert told == sorted(told)
    assert len(told) > 2


async def test_it_fails_with_what_is_wrong(analyst: Analyst, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", [["a"], ["b"]])

    async def progress(share: float, stage: str) -> None:
        pass

    with pytest.raises(NoMultiLabelRows, match="no row holds two labels") as raised:
        await analyst.analyse(audit(tmp_path / "rows.parquet"), progress)
    assert raised.value.field == "ids"
    write_rows(tmp_path / "rows.parquet", [["a", "b"], ["b", "c"]])
    unknown = AuditParameters(excluded=("person",))
    with pytest.raises(UnknownLabel, match="no label is named 'person'"):
        await analyst.analyse(audit(tmp_path / "rows.parquet", unknown), progress)


async def test_it_stops_when_nobody_waits_any_more(analyst: Analyst, tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 1500)
    begun = asyncio.Event()

    async def progress(share: float, stage: str) -> None:
        begun.set()

    task = asyncio.create_task(analyst.analyse(audit(tmp_path / "rows.parquet"), progress))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


_FAILING = """
import sys
from services.audit.adapters.process_analyst import converse

def analyse(audit, progress):
    raise {}

converse(analyse, sys.stdin.buffer, sys.stdout.buffer)
"""
_HUNGRY = _FAILING.format("MemoryError('Unable to allocate 29 TiB')")
_TALKATIVE = "print('x' * (300 << 20))"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (_HUNGRY, r"takes more memory than there is \(Unable to allocate 29 TiB\): raise min"),
        (_TALKATIVE, "the report is larger than 256 MiB"),
    ],
)
async def test_what_is_too_large_says_what_to_ask_for(
    tmp_path: Path, script: str, says: str
) -> None:
    async def progress(share: float, stage: str) -> None:
        pass

    analyst = ProcessAnalyst([sys.executable, "-c", script])
    with pytest.raises(TooLargeForExact, match=says):
        await analyst.analyse(audit(tmp_path / "rows.parquet"), progress)


async def test_what_nobody_foresaw_is_for_the_log(tmp_path: Path) -> None:
    async def progress(share: float, stage: str) -> None:
        pass

    broken = _FAILING.format("ZeroDivisionError('secret')")
    analyst = ProcessAnalyst([sys.executable, "-c", broken])
    with pytest.raises(AuditError, match=r"^internal error; the service's log has the details$"):
        await analyst.analyse(audit(tmp_path / "rows.parquet"), progress)


async def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 100)

    async def progress(share: float, stage: str) -> None:
        pass

    for command in (["false"], ["true"]):
        with pytest.raises(AuditError, match="ended without a report"):
            await ProcessAnalyst(command).analyse(audit(tmp_path / "rows.parquet"), progress)
