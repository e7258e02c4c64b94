"""Reports as messages: whatever is found, an answer is no larger than one may be."""

from aftershock.v1 import audit_pb2 as pb
from services.audit.adapters.grpc_report import shorten


def _report(count: int) -> pb.AuditReport:
    return pb.AuditReport(findings=[pb.AuditFinding(label=f"{i:0100}") for i in range(count)])


def test_a_report_that_is_too_large_keeps_its_first_findings() -> None:
    report = _report(1000)
    shorten(report, 30_000)
    assert 0 < len(report.findings) < 300
    assert report.findings[0].label == f"{0:0100}"
    (note,) = report.notes
    assert f"of 1000 findings, the first {len(report.findings)} are here" in note


def test_a_report_that_fits_stays_as_it_is() -> None:
    report = _report(100)
    shorten(report, 30_000)
    assert report == _report(100)
