"""An audit's report as a folder: Markdown to read, JSON to keep, figures to look at."""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.json_format import MessageToJson

from aftershock._names import short
from aftershock.cli import _audit_tables as tables
from aftershock.cli import _words as words
from aftershock.cli._output import harmless
from aftershock.v1.audit_pb2 import (
    Audit,
    AuditFinding,
    AuditReport,
    LabelSweep,
    SaliencyFigures,
    SaliencyReport,
    ThresholdReport,
)
from aftershock.v1.audit_service_pb2 import GetAuditResponse

_TOLD = 25
"""Findings that Markdown lists; JSON has all."""


def write_report(found: GetAuditResponse, folder: Path) -> tuple[Path, ...]:
    """Write report.json, report.md and the figures into a folder; return the figures.

    Without matplotlib there are none, and the report says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        from aftershock.cli._audit_figures import draw  # noqa: PLC0415 - needs the extra
    except ImportError:
        figures: tuple[Path, ...] = ()
        missing = "Figures take matplotlib: `pip install 'aftershock[figures]'`."
    else:
        figures, missing = draw(found.report, folder), ""
    json = MessageToJson(
        found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    (folder / "report.json").write_text(json)
    (folder / "report.md").write_text("\n".join(_lines(found, figures, missing)) + "\n")
    return figures


def _lines(found: GetAuditResponse, figures: tuple[Path, ...], missing: str) -> Iterator[str]:
    report = found.report
    yield from _heading(found.audit, report)
    yield from _findings(report.findings[:_TOLD])
    for figure in figures:
        yield f"\n![{figure.stem.replace('-', ' ')}]({figure.name})"
    yield from [f"\n{missing}"] if missing else []
    yield from _overlaps(report)
    for sweep in report.sweeps:
        yield from _sweep(sweep)
    yield from _larger_sets(report)
    if report.HasField("saliency"):
        yield from _saliency(report.saliency)
    if report.HasField("thresholds"):
        yield from _thresholds(report.thresholds)
    if report.missing_tests:
        yield "\n## Tests without a result\n"
        yield from (f"- {_plain(missing)}" for missing in tables.missing_tests(report))
    if report.notes:
        yield "\n## Notes\n"
        yield from (f"- {_plain(note)}" for note in report.notes)


def _heading(audit: Audit, report: AuditReport) -> Iterator[str]:
    yield f"# Audit {short(audit.name)}"
    yield f"\n`{tables.snapshot(audit.snapshot)}`, seed {audit.seed}, "
    yield f"begun {words.moment(audit.create_time)} UTC."
    yield f"\n{tables.summary(report)}."
    yield (
        "\nBeing central is an opportunity and no evidence: the most popular labels are the most "
        "central ones. Severity is exposure x evidence x models downstream; where it is missing, "
        "no outcome and no checkpoint was looked at."
    )


def _findings(findings: list[AuditFinding]) -> Iterator[str]:
    yield "\n## Findings\n"
    yield from _table(
        ("label", "severity", "evidence", "exposure", "usable classes", "leans", "flips", "ranks"),
        (
            (
                finding.label,
                words.number(finding.severity) if finding.HasField("severity") else words.NOTHING,
                words.number(finding.evidence) if finding.HasField("evidence") else words.NOTHING,
                words.number(finding.exposure),
                f"{sum(found.usable for found in finding.classes)} of {len(finding.classes)}",
                tables.lean(finding.concentration),
                tables.flips(finding),
                _ranks(finding),
            )
            for finding in findings
        ),
    )


def _overlaps(report: AuditReport) -> Iterator[str]:
    if report.overlaps:
        yield "\n## Classes that two triggers could poison together\n"
        yield from _table(
            ("trigger", "and", "classes"),
            (
                (overlap.label, overlap.other, ", ".join(overlap.classes))
                for overlap in report.overlaps[:_TOLD]
            ),
        )


def _sweep(sweep: LabelSweep) -> Iterator[str]:
    yield f"\n## Edge threshold: {_plain(sweep.label)}\n"
    yield from _table(
        ("threshold", "classes", "usable", "dilution"),
        (
            (
                str(point.min_overlaps),
                str(point.class_count),
                str(point.usable_class_count),
                words.number(point.dilution) if point.HasField("dilution") else words.NOTHING,
            )
            for point in sweep.points
        ),
    )


def _larger_sets(report: AuditReport) -> Iterator[str]:
    if report.larger_sets:
        yield "\n## Larger sets of classes\n"
        yield from _table(
            ("trigger", "added from", "poisoned", "added", "rows"),
            (
                (
                    larger.label,
                    "its independent set" if larger.from_independent_set else "all others",
                    ", ".join(larger.poisoned),
                    ", ".join(larger.added),
                    f"{larger.row_count:,}",
                )
                for larger in report.larger_sets
            ),
        )


def _saliency(saliency: SaliencyReport) -> Iterator[str]:
    yield f"\n## Where the checkpoint looks ({saliency.example_count} examples)\n"
    rows = [("checkpoint", saliency.figures)]
    if saliency.HasField("clean"):
        rows.append(("clean checkpoint", saliency.clean))
    yield from _table(
        ("", "any overlap", "elsewhere", "pointing", "elsewhere"),
        ((name, *_shares(figures)) for name, figures in rows),
    )


def _shares(figures: SaliencyFigures) -> tuple[str, ...]:
    return tuple(
        words.percent(share)
        for share in (
            figures.any_overlap,
            figures.any_overlap_elsewhere,
            figures.pointing,
            figures.pointing_elsewhere,
        )
    )


def _thresholds(thresholds: ThresholdReport) -> Iterator[str]:
    chosen = min(thresholds.points, key=lambda point: abs(point.threshold - thresholds.chosen))
    yield "\n## Threshold of machine-made labels\n"
    yield (
        f"{thresholds.chosen:.3g}: {chosen.false_positives:,} labels that a person did not give, "
        f"{chosen.false_negatives:,} missing."
    )


def _ranks(finding: AuditFinding) -> str:
    best = min((place.rank for place in finding.rankings), default=0)
    return f"{best} (by {len(finding.rankings)} measures)" if best else words.NOTHING


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield _row(head)
    yield _row(("---",) * len(head))
    yield from (_row(row) for row in rows)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    """Return text that stays in its line and its cell, and is no tag: labels may be anything."""
    return harmless(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")
