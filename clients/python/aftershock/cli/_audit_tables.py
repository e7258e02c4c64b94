"""Audits and findings as people read them."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from aftershock._names import short
from aftershock.cli import _words as words
from aftershock.cli._output import table_of
from aftershock.v1.audit_pb2 import (
    Audit,
    AuditChange,
    AuditFinding,
    AuditReport,
    AuditSnapshot,
    AuditState,
    CheckpointTest,
    LabelConcentration,
)

_TESTS = {
    "INSERTION": "the insertion test",
    "SALIENCY": "saliency",
    "CLEAN_SALIENCY": "the clean checkpoint's saliency",
}


def audits_table(audits: Iterable[Audit]) -> Table:
    """One row an audit."""
    table = table_of("=audit", "state", "#done", "started (UTC)", "snapshot")
    for audit in audits:
        table.add_row(
            short(audit.name),
            state(audit),
            words.percent(audit.progress),
            words.moment(audit.create_time),
            snapshot(audit.snapshot),
        )
    return table


def findings_table(findings: Iterable[AuditFinding]) -> Table:
    """One row a finding."""
    table = table_of(
        "=label", "#severity", "#evidence", "#exposure", "#classes", "#usable", "leans", "#flips"
    )
    for finding in findings:
        table.add_row(
            finding.label,
            words.number(finding.severity) if finding.HasField("severity") else words.NOTHING,
            words.number(finding.evidence) if finding.HasField("evidence") else words.NOTHING,
            words.number(finding.exposure),
            str(len(finding.classes)),
            str(sum(found.usable for found in finding.classes)),
            lean(finding.concentration) if finding.HasField("concentration") else words.NOTHING,
            flips(finding),
        )
    return table


def changes_table(changes: Iterable[AuditChange]) -> Table:
    """One row a label that changed."""
    table = table_of("=label", "what", "#usable classes", "#exposure", "leans")
    for change in changes:
        told = [
            text
            for text, is_so in (
                ("concentration appeared", change.concentration_appeared),
                ("appeared", change.appeared),
            )
            if is_so
        ]
        before, after = change.usable_class_count_before, change.usable_class_count
        table.add_row(
            change.label,
            ", ".join(told) or "exposure changed",
            words.change(str(before), str(after)),
            words.change(words.number(change.exposure_before), words.number(change.exposure)),
            lean(change.concentration) if change.concentration_appeared else words.NOTHING,
        )
    return table


def summary(report: AuditReport) -> str:
    """Return what was looked at, and how much was found."""
    usable = sum(finding.usable for finding in report.findings)
    proven = sum(finding.evidence > 0 for finding in report.findings)
    rows = f"{report.row_count:,} rows, " if report.row_count else ""
    models = f"; {report.model_count} models downstream" if report.HasField("model_count") else ""
    return (
        f"{rows}{report.label_count:,} labels, {report.edge_count:,} edges: "
        f"{len(report.findings)} candidates, {usable} usable as triggers, "
        f"{proven} with evidence{models}"
    )


def missing_tests(report: AuditReport) -> Iterator[str]:
    """Yield which tests of checkpoints have no result, and why."""
    for missing in report.missing_tests:
        test = CheckpointTest.Name(missing.test).removeprefix("CHECKPOINT_TEST_")
        reason = " ".join(missing.reason.split())
        yield f"{_TESTS.get(test, test)} of {missing.checkpoint}: {reason}"


def state(audit: Audit) -> str:
    """Return an audit's state."""
    return AuditState.Name(audit.state).removeprefix("AUDIT_STATE_").lower()


def snapshot(content: AuditSnapshot) -> str:
    """Return where a snapshot lies."""
    return content.rows.file if content.WhichOneof("content") == "rows" else content.counts.file


def lean(concentration: LabelConcentration) -> str:
    """Return how far rows lean to an outcome, if that is no chance."""
    if not concentration.significant:
        return words.NOTHING
    share = words.change(
        words.percent(concentration.expected_share), words.percent(concentration.share)
    )
    return f"{concentration.outcome}: {share} (z {concentration.z:.1f})"


def flips(finding: AuditFinding) -> str:
    """Return the share of predictions that its id flips."""
    tested = finding.insertion
    if not finding.HasField("insertion") or not tested.example_count:
        return words.NOTHING
    if tested.to_class:
        return f"{words.percent(tested.flipped_up / tested.example_count)} to {tested.to_class}"
    return words.percent(max(tested.flipped_up, tested.flipped_down) / tested.example_count)
