"""From the domain's report to the contract's; flat records have the same fields in both."""

from dataclasses import asdict

import numpy as np

from aftershock.v1 import audit_pb2 as pb
from services.audit.adapters.grpc_messages import measure_message
from services.audit.domain.difference import Change
from services.audit.domain.report import (
    AuditReport,
    Finding,
    LargerClassSet,
    OutcomeLean,
    Overlay,
    SaliencyReport,
    ThresholdReport,
)


def report_message(report: AuditReport) -> pb.AuditReport:
    """Return what an audit found."""
    return pb.AuditReport(
        row_count=report.row_count,
        label_count=report.label_count,
        edge_count=report.edge_count,
        findings=[_finding(finding) for finding in report.findings],
        overlaps=[pb.FindingOverlap(**asdict(overlap)) for overlap in report.overlaps],
        sweeps=[
            pb.LabelSweep(
                label=sweep.label,
                points=[pb.SweepPoint(**asdict(point)) for point in sweep.points],
            )
            for sweep in report.sweeps
        ],
        larger_sets=[_larger_set(larger) for larger in report.larger_sets],
        neighbourhood=[pb.CooccurrenceEdge(**asdict(edge)) for edge in report.neighbourhood],
        neighbourhood_label=report.neighbourhood_label,
        saliency=_saliency(report.saliency) if report.saliency else None,
        thresholds=_thresholds(report.thresholds) if report.thresholds else None,
        model_count=report.model_count,
        notes=report.notes,
        missing_tests=[
            pb.MissingTest(
                test=pb.CheckpointTest.Value(f"CHECKPOINT_TEST_{missing.test.name}"),
                checkpoint=missing.checkpoint,
                reason=missing.reason,
            )
            for missing in report.missing_tests
        ],
    )


def shorten(report: pb.AuditReport, most_bytes: int) -> None:
    """Leave the last findings out of a report that is larger than a message may be, and say so."""
    count = len(report.findings)
    while report.findings and report.ByteSize() > most_bytes:
        del report.findings[len(report.findings) // 2 :]
    if len(report.findings) < count:
        report.notes.append(
            f"the report is too large for a message: of {count} findings, the first "
            f"{len(report.findings)} are here; look for fewer labels (top) to have all"
        )


def change_message(change: Change) -> pb.AuditChange:
    """Return what became of a label between two audits."""
    return pb.AuditChange(
        label=change.label,
        appeared=change.has_appeared,
        usable_class_count_before=change.usable_class_count_before,
        usable_class_count=change.usable_class_count,
        exposure_before=change.exposure_before,
        exposure=change.exposure,
        concentration_appeared=change.has_concentration_appeared,
        concentration=_lean(change.concentration) if change.concentration else None,
    )


def _lean(lean: OutcomeLean) -> pb.LabelConcentration:
    """Return how far a label's rows lean to an outcome."""
    return pb.LabelConcentration(
        outcome=lean.outcome,
        row_count=lean.row_count,
        share=lean.share,
        expected_share=lean.expected_share,
        z=lean.z,
        p_value=lean.p_value,
        significant=lean.is_significant,
    )


def _finding(finding: Finding) -> pb.AuditFinding:
    return pb.AuditFinding(
        label=finding.label,
        neighbour_count=finding.neighbour_count,
        row_count=finding.row_count,
        rankings=[
            pb.CentralityRanking(
                measure=measure_message(place.measure), rank=place.rank, value=place.value
            )
            for place in finding.rankings
        ],
        classes=[
            pb.PoisonableClass(
                label=found.label,
                trigger_rows=found.trigger_rows,
                clean_rows=found.clean_rows,
                usable=found.is_usable,
            )
            for found in finding.classes
        ],
        usable=finding.is_usable,
        concentration=_lean(finding.concentration) if finding.concentration else None,
        insertion=pb.InsertionResult(**asdict(finding.insertion)) if finding.insertion else None,
        exposure=finding.exposure,
        evidence=finding.evidence,
        severity=finding.severity,
    )


def _larger_set(larger: LargerClassSet) -> pb.LargerClassSet:
    return pb.LargerClassSet(
        label=larger.label,
        poisoned=larger.poisoned,
        added=larger.added,
        from_independent_set=larger.is_from_independent_set,
        row_count=larger.row_count,
    )


def _saliency(saliency: SaliencyReport) -> pb.SaliencyReport:
    return pb.SaliencyReport(
        example_count=saliency.example_count,
        figures=pb.SaliencyFigures(**asdict(saliency.figures)),
        clean=pb.SaliencyFigures(**asdict(saliency.clean)) if saliency.clean else None,
        overlays=[_overlay(overlay) for overlay in saliency.overlays],
    )


def _overlay(overlay: Overlay) -> pb.SaliencyOverlay:
    return pb.SaliencyOverlay(
        row=overlay.row,
        height=overlay.height,
        width=overlay.width,
        map=np.array(overlay.map, "<f4").tobytes(),
        mask=bytes(overlay.mask),
    )


def _thresholds(thresholds: ThresholdReport) -> pb.ThresholdReport:
    points = [pb.ThresholdPoint(**asdict(point)) for point in thresholds.points]
    return pb.ThresholdReport(points=points, chosen=thresholds.chosen)
