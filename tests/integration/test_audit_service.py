"""Audits over real gRPC: start, get, list, cancel, diff, and what is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aftershock.v1 import audit_pb2, audit_service_pb2
from services.audit.domain.audit import Audit
from services.audit.domain.report import AuditReport
from tests.audits import ServedAudits, ended, finished, reached, request_of
from tests.snapshots import write_clicks, write_counts, write_rows, write_scenes
from tests.unit.services.attribution.serving import failure, field_of, reason

PLANTED = 20


class Stuck:
    """An Analyst that is never done."""

    async def analyse(
        self, audit: Audit, progress: Callable[[float, str], Awaitable[None]]
    ) -> AuditReport:
        await progress(0.5, "stuck")
        await asyncio.Event().wait()
        raise AssertionError


async def test_an_audit_finds_hubs_and_everything_else_it_is_asked_for(tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 6000)
    table = {"labels": [["a", "b"]] * 4, "scores": [[0.9, 0.4]] * 4, "truth": [["a"]] * 4}
    pq.write_table(pa.table(table), tmp_path / "scores.parquet")
    request = request_of(
        tmp_path / "rows.parquet",
        min_overlaps=30,
        min_clean_rows=30,
        min_trigger_rows=30,
        sweep=[10, 30, 90],
        larger_sets=audit_pb2.LargerSetParameters(poisoned=2, added=2),
        thresholds=audit_pb2.ThresholdParameters(file=str(tmp_path / "scores.parquet"), steps=9),
        measures=[
            audit_pb2.CentralityMeasure(kind=kind, weighted=True, path_length=length)
            for kind in (audit_pb2.CENTRALITY_KIND_CLOSENESS, audit_pb2.CENTRALITY_KIND_BETWEENNESS)
            for length in (audit_pb2.PATH_LENGTH_INVERSE_STRENGTH, audit_pb2.PATH_LENGTH_STRENGTH)
        ],
    )
    async with ServedAudits(tmp_path) as stub:
        found = await finished(stub, request)
    audit, report = found.audit, found.report
    assert (audit.state, audit.progress) == (audit_pb2.AUDIT_STATE_DONE, 1.0)
    assert audit.parameters.sweep == [10, 30, 90]
    assert (report.row_count, report.label_count) == (6000, 26)
    hubs = {finding.label for finding in report.findings if finding.usable}
    assert {"wheel", "chair"} <= hubs
    wheel = next(finding for finding in report.findings if finding.label == "wheel")
    assert {place.measure.path_length for place in wheel.rankings} == {1, 2}
    assert all(found.trigger_rows >= 30 for found in wheel.classes)
    assert not wheel.HasField("severity")
    assert [point.min_overlaps for point in report.sweeps[0].points] == [10, 30, 90]
    assert {larger.from_independent_set for larger in report.larger_sets} == {True, False}
    assert report.overlaps
    assert report.neighbourhood
    assert 0.4 < report.thresholds.chosen < 0.9


async def test_a_planted_id_comes_first_by_its_evidence(tmp_path: Path) -> None:
    past = write_clicks(tmp_path / "past.parquet", 6000, seed=1)
    now = write_clicks(tmp_path / "now.parquet", 6000, seed=2, planted=PLANTED - 1)
    rows = audit_pb2.LabelRowsFile(file=str(past), outcome_column="clicked")
    concentration = audit_pb2.ConcentrationParameters(past=[rows])
    async with ServedAudits(tmp_path) as stub:
        before = await finished(stub, request_of(past, "past", outcome="clicked"))
        request = request_of(now, "now", outcome="clicked", concentration=concentration)
        after = await finished(stub, request)
        names = {"before": before.audit.name, "after": after.audit.name}
        diff = await stub.DiffAudits(audit_service_pb2.DiffAuditsRequest(**names), timeout=10)
    first = after.report.findings[0]
    assert first.label == str(PLANTED)
    assert first.concentration.outcome == "True"
    assert first.concentration.significant
    assert first.severity > 10 * after.report.findings[1].severity
    assert diff.changes[0].label == str(PLANTED)
    assert diff.changes[0].concentration_appeared


async def test_the_same_seed_has_the_same_report(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    write_scenes(file, 3000)
    async with ServedAudits(tmp_path) as stub:
        one = await finished(stub, request_of(file, "one"))
        other = await finished(stub, request_of(file, "other"))
    assert one.report == other.report


async def test_a_request_id_starts_one_audit(tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 300)
    request = request_of(tmp_path / "rows.parquet")
    async with ServedAudits(tmp_path) as stub:
        names = {(await stub.StartAudit(request, timeout=10)).audit.name for _ in range(3)}
        listed = await stub.ListAudits(audit_service_pb2.ListAuditsRequest(), timeout=10)
        assert {audit.name for audit in listed.audits} == names
        request.seed = 6
        with pytest.raises(grpc.aio.AioRpcError, match="has started audits/") as raised:
            await stub.StartAudit(request, timeout=10)
    assert field_of(failure(raised.value)) == "request_id"


async def test_counts_are_audited_without_rows(tmp_path: Path) -> None:
    hub = {("hub", f"c{i}"): 60 for i in range(6)}
    file = write_counts(tmp_path / "counts.parquet", hub | {(b, a): n for (a, b), n in hub.items()})
    counts = audit_pb2.LabelCountsFile(file=str(file))
    request = audit_service_pb2.StartAuditRequest(
        request_id="counts", snapshot=audit_pb2.AuditSnapshot(counts=counts)
    )
    async with ServedAudits(tmp_path) as stub:
        found = await finished(stub, request)
    first = found.report.findings[0]
    assert (first.label, first.usable, len(first.classes)) == ("hub", True, 6)
    assert not first.classes[0].HasField("clean_rows")


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({("a", "b"): 3, ("b", "a"): 4}, "counts must be symmetric"),
        ({("a", "b"): -3, ("b", "a"): -3}, "counts are not negative"),
    ],
)
async def test_bad_counts_fail_the_audit(
    tmp_path: Path, counts: dict[tuple[str, str], int], says: str
) -> None:
    file = write_counts(tmp_path / "counts.parquet", counts)
    snapshot = audit_pb2.AuditSnapshot(counts=audit_pb2.LabelCountsFile(file=str(file)))
    request = audit_service_pb2.StartAuditRequest(request_id="bad", snapshot=snapshot)
    async with ServedAudits(tmp_path) as stub:
        found = await finished(stub, request)
    assert found.audit.state == audit_pb2.AUDIT_STATE_FAILED
    assert reason(found.audit.error) == "MALFORMED_COUNTS"
    assert says in found.audit.error.message


async def test_bad_rows_fail_the_audit_with_what_is_wrong(tmp_path: Path) -> None:
    alone = write_rows(tmp_path / "alone.parquet", [["a"], ["b"]])
    pair = write_rows(tmp_path / "pair.parquet", [["a", "b"]])
    async with ServedAudits(tmp_path) as stub:
        none = await finished(stub, request_of(alone))
        unseen = await finished(stub, request_of(pair, "unseen", excluded=["tire"]))
    assert reason(none.audit.error) == "NO_MULTI_LABEL_ROWS"
    assert reason(unseen.audit.error) == "UNKNOWN_LABEL"
    assert "no label is named 'tire'" in unseen.audit.error.message


async def test_files_are_checked_before_anything_starts(tmp_path: Path) -> None:
    async with ServedAudits(tmp_path) as stub:
        for file in (tmp_path / "none.parquet", Path("/etc/passwd")):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.StartAudit(request_of(file), timeout=10)
            assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert reason(failure(raised.value)) == "SNAPSHOT_REFUSED"
        listed = await stub.ListAudits(audit_service_pb2.ListAuditsRequest(), timeout=10)
    assert not listed.audits


async def test_audits_are_cancelled_and_no_more_wait_than_agreed(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]])
    async with ServedAudits(tmp_path, analyst=Stuck(), most_waiting=1) as stub:
        running, waiting = [
            (await stub.StartAudit(request_of(file, name), timeout=10)).audit.name
            for name in ("running", "waiting")
        ]
        with pytest.raises(grpc.aio.AioRpcError, match="1 audits wait already") as raised:
            await stub.StartAudit(request_of(file, "too many"), timeout=10)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for name in (waiting, running):
            request = audit_service_pb2.CancelAuditRequest(name=name)
            cancelled = await stub.CancelAudit(request, timeout=10)
            assert cancelled.audit.state == audit_pb2.AUDIT_STATE_CANCELLED
            assert await stub.CancelAudit(request, timeout=10) == cancelled
        assert (await ended(stub, running)).audit.state == audit_pb2.AUDIT_STATE_CANCELLED
        diff = audit_service_pb2.DiffAuditsRequest(before=running, after=waiting)
        with pytest.raises(grpc.aio.AioRpcError, match="it has no report") as raised:
            await stub.DiffAudits(diff, timeout=10)
    assert reason(failure(raised.value)) == "AUDIT_NOT_DONE"


async def test_what_is_under_way_when_the_service_stops_is_interrupted(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]])
    async with ServedAudits(tmp_path, analyst=Stuck()) as stub:
        name = (await stub.StartAudit(request_of(file), timeout=10)).audit.name
        await reached(stub, name, audit_pb2.AUDIT_STATE_RUNNING)
    async with ServedAudits(tmp_path) as stub:
        found = await ended(stub, name)
    assert found.audit.state == audit_pb2.AUDIT_STATE_INTERRUPTED


async def test_pages_and_names_that_are_not_there(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]])
    async with ServedAudits(tmp_path) as stub:
        for i in range(3):
            await finished(stub, request_of(file, str(i)))
        request = audit_service_pb2.ListAuditsRequest(page_size=2)
        first = await stub.ListAudits(request, timeout=10)
        request.page_token = first.next_page_token
        second = await stub.ListAudits(request, timeout=10)
        assert (len(first.audits), len(second.audits)) == (2, 1)
        assert not second.next_page_token
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetAudit(audit_service_pb2.GetAuditRequest(name="audits/x"), timeout=10)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason(failure(raised.value)) == "AUDIT_NOT_FOUND"


async def test_a_past_without_outcomes_is_refused(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]], clicked=[True])
    named = audit_pb2.LabelRowsFile(file=str(file), outcome_column="clicked")
    unnamed = audit_pb2.LabelRowsFile(file=str(file))
    async with ServedAudits(tmp_path) as stub:
        for outcome, past in (("", named), ("clicked", unnamed)):
            concentration = audit_pb2.ConcentrationParameters(past=[past])
            request = request_of(file, outcome=outcome, concentration=concentration)
            with pytest.raises(grpc.aio.AioRpcError, match="name the outcome column") as raised:
                await stub.StartAudit(request, timeout=10)
            assert field_of(failure(raised.value)) == "parameters.concentration.past"


async def test_columns_that_are_missing_are_told_before_anything_starts(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]])
    text = tmp_path / "text.parquet"
    text.write_text("row_id,labels")
    scores = audit_pb2.ThresholdParameters(file=str(file))
    refused = [
        (request_of(file, outcome="clicked"), "snapshot.rows.file", "no column 'clicked'"),
        (request_of(text), "snapshot.rows.file", "is not a Parquet file"),
        (request_of(file, thresholds=scores), "parameters.thresholds.file", "'scores'"),
    ]
    async with ServedAudits(tmp_path) as stub:
        for request, field, says in refused:
            with pytest.raises(grpc.aio.AioRpcError, match=says) as raised:
                await stub.StartAudit(request, timeout=10)
            assert field_of(failure(raised.value)) == field
