"""Full disks, files that change, people who change their minds: an audit ends and says why."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from aftershock.v1 import audit_pb2, audit_service_pb2
from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.adapters.thread_analyst import ThreadAnalyst
from services.audit.analyse import Analyse
from services.audit.domain.audit import Audit
from services.audit.domain.news import AuditNews
from services.audit.domain.parameters import InsertionParameters, SaliencyParameters
from services.audit.domain.report import AuditReport, Insertion
from tests.audits import ServedAudits, finished, reached, request_of
from tests.checkpoints import arrow_table
from tests.snapshots import write_clicks, write_rows
from tests.unit.services.attribution.serving import EXAMPLES, failure, reason
from tests.waiting import until

NODE = "dataset:ads:clicks"
Progress = Callable[[float, str], Awaitable[None]]


class Meddling:
    """An Analyst before whose work something happens."""

    def __init__(self, root: Path, happens: Callable[[], object]) -> None:
        self._analyst = ThreadAnalyst(Analyse(ParquetSnapshots([root])))
        self.happens = happens

    async def analyse(self, audit: Audit, progress: Progress) -> AuditReport:
        self.happens()
        return await self._analyst.analyse(audit, progress)


class StuckLater:
    """CheckpointTests and a Lineage that answer the first question, and then never."""

    def __init__(self) -> None:
        self._is_first = True

    async def insertions(
        self,
        wanted: InsertionParameters,
        ids: Sequence[int],
        examples: bytes,
    ) -> Mapping[int, Insertion]:
        await self._stick()
        return dict.fromkeys(ids, Insertion(1, 0, 0, 0, 0.0, 0.0, 0.0, 0.0))

    async def saliency(
        self,
        checkpoint: str,
        wanted: SaliencyParameters,
        examples: bytes,
    ) -> NDArray[np.float32]:
        await self._stick()
        return np.full((1, wanted.height, wanted.width), np.nan, np.float32)

    async def model_count(self, node: str) -> int | None:
        self._is_first = False
        await self._stick()
        return None

    async def record(self, audit: Audit, news: AuditNews) -> bool:
        raise AssertionError

    async def _stick(self) -> None:
        if not self._is_first:
            await asyncio.Event().wait()
        self._is_first = False


def insertion(folder: Path) -> audit_pb2.InsertionParameters:
    """Write examples, and return a test with them."""
    pq.write_table(arrow_table(EXAMPLES), folder / "examples.parquet")
    return audit_pb2.InsertionParameters(
        checkpoint="models/m", feature="watched", examples_file=str(folder / "examples.parquet")
    )


async def test_a_report_that_cannot_be_written_fails_its_audit(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]] * 20)
    analyst = Meddling(tmp_path, lambda: shutil.rmtree(tmp_path / "audits"))
    async with ServedAudits(tmp_path, analyst=analyst) as stub:
        found = await finished(stub, request_of(file))
        assert found.audit.state == audit_pb2.AUDIT_STATE_FAILED
        assert reason(found.audit.error) == "DEPENDENCY_UNAVAILABLE"
        assert "make room there, or set AFTERSHOCK_AUDIT_DATA" in found.audit.error.message
        with pytest.raises(grpc.aio.AioRpcError, match="audits cannot be kept") as raised:
            await stub.StartAudit(request_of(file, "again"), timeout=10)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        (tmp_path / "audits").mkdir()
        analyst.happens = lambda: None
        mended = await finished(stub, request_of(file, "again"))
    assert mended.audit.state == audit_pb2.AUDIT_STATE_DONE


async def test_a_snapshot_that_is_overwritten_fails_its_audit(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]] * 20)
    analyst = Meddling(tmp_path, lambda: file.write_bytes(file.read_bytes()[:100]))
    async with ServedAudits(tmp_path, analyst=analyst) as stub:
        found = await finished(stub, request_of(file))
    assert reason(found.audit.error) == "SNAPSHOT_REFUSED"
    assert "rows.parquet is not a Parquet file" in found.audit.error.message


async def test_examples_that_go_meanwhile_cost_their_test_alone(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["1", "2"]] * 20)
    wanted = insertion(tmp_path)
    analyst = Meddling(tmp_path, (tmp_path / "examples.parquet").unlink)
    async with ServedAudits(tmp_path, analyst=analyst, checkpoints=StuckLater()) as stub:
        found = await finished(stub, request_of(file, insertion=wanted))
    (missing,) = found.report.missing_tests
    assert "examples.parquet is not a file" in missing.reason


async def test_maps_that_are_no_numbers_are_no_result(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]] * 20)
    write_rows(tmp_path / "images.parquet", [["a"]], mask=[[True] * 4])
    saliency = audit_pb2.SaliencyParameters(
        checkpoint="models/m",
        layer="features.0",
        examples_file=str(tmp_path / "images.parquet"),
        mask_column="mask",
        height=2,
        width=2,
    )

    class NotFinite(StuckLater):
        async def _stick(self) -> None:
            pass

    async with ServedAudits(tmp_path, checkpoints=NotFinite()) as stub:
        found = await finished(stub, request_of(file, saliency=saliency))
    (missing,) = found.report.missing_tests
    assert "the maps of models/m hold NaN" in missing.reason


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [("asking checkpoints", "insertion"), ("looking downstream", "lineage_node")],
)
async def test_an_audit_is_cancelled_at_every_stage(
    tmp_path: Path, stage: str, wanted: str
) -> None:
    file = write_clicks(tmp_path / "rows.parquet", 500, seed=1)
    asked: dict[str, Any] = {"insertion": insertion(tmp_path), "lineage_node": NODE}
    stuck = StuckLater()
    async with ServedAudits(tmp_path, checkpoints=stuck, lineage=stuck) as stub:
        request = request_of(file, **{wanted: asked[wanted]})
        name = (await stub.StartAudit(request, timeout=10)).audit.name
        ask = audit_service_pb2.GetAuditRequest(name=name)

        async def is_there() -> bool:
            return bool((await stub.GetAudit(ask, timeout=10)).audit.stage == stage)

        await until(is_there)
        cancel = audit_service_pb2.CancelAuditRequest(name=name)
        found = (await stub.CancelAudit(cancel, timeout=10)).audit
        assert found.state == audit_pb2.AUDIT_STATE_CANCELLED
        after = await finished(stub, request_of(file, "after"))
        assert (await reached(stub, name, found.state)).audit == found
    assert after.audit.state == audit_pb2.AUDIT_STATE_DONE


async def test_a_report_that_is_gone_is_told(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]] * 20)
    async with ServedAudits(tmp_path) as stub:
        name = (await finished(stub, request_of(file))).audit.name
        (report,) = (tmp_path / "audits").glob("*.report.json")
        report.write_text("{")
        with pytest.raises(grpc.aio.AioRpcError, match="is gone from the service's disk") as raised:
            await stub.GetAudit(audit_service_pb2.GetAuditRequest(name=name), timeout=10)
    assert reason(failure(raised.value)) == "AUDIT_NOT_DONE"
